// Package settings reads the ConfigMap in which users already configure Windows
// addressing, amazon-vpc-cni. Nothing in it can stop the system: a missing key means the
// default, and a value that cannot be read changes nothing and is reported as a Problem.
package settings

import (
	"fmt"
	"strconv"
	"strings"

	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/warmpool"
)

// Keys of the ConfigMap. The targets have a second spelling with the prefix "windows-";
// where both are present, the plain one counts, as in AWS's controller.
const (
	KeyEnabled          = "enable-windows-ipam"
	KeyPrefixDelegation = "enable-windows-prefix-delegation"
	KeyWarmPrefixTarget = "warm-prefix-target"
	KeyWarmIPTarget     = "warm-ip-target"
	KeyMinimumIPTarget  = "minimum-ip-target"

	windowsSpelling = "windows-"
)

// Settings are what the ConfigMap says. The zero value is that of a missing ConfigMap:
// off, and the default of everything else.
type Settings struct {
	Enabled bool
	Mode    ledger.Kind // what new pods get: a secondary IP, or an address of a prefix
	Targets warmpool.Targets
}

// Problem is a value that could not be read.
type Problem struct {
	Key, Value, Want string
	Stays            string // the value that stays in force
}

func (p Problem) String() string {
	return fmt.Sprintf("%s: %q is not %s; %s stays in force", p.Key, p.Value, p.Want, p.Stays)
}

// Parse reads the data of the ConfigMap. White space around values is ignored. Where a
// value cannot be read, that of last counts: the settings from before, or the zero value
// at a start. A target with two spellings is one value: where the plain spelling cannot
// be read, the other one is not read in its place, as that would change the target, too.
func Parse(data map[string]string, last Settings) (Settings, []Problem) {
	r := reader{data: data}
	s := Settings{
		Enabled: r.truth(KeyEnabled, last.Enabled),
		Targets: warmpool.Targets{
			WarmPrefixes: r.target(KeyWarmPrefixTarget, last.Targets.WarmPrefixes),
			WarmIPs:      r.target(KeyWarmIPTarget, last.Targets.WarmIPs),
			MinimumIPs:   r.target(KeyMinimumIPTarget, last.Targets.MinimumIPs),
		},
	}
	if r.truth(KeyPrefixDelegation, last.Mode == ledger.Prefix) {
		s.Mode = ledger.Prefix
	}
	return s, r.problems
}

type reader struct {
	data     map[string]string
	problems []Problem
}

func (r *reader) truth(key string, last bool) bool {
	text, present := r.data[key]
	if !present {
		return false
	}
	v, err := strconv.ParseBool(strings.TrimSpace(text))
	if err != nil {
		r.problems = append(r.problems, Problem{key, text, `"true" or "false"`, strconv.Quote(strconv.FormatBool(last))})
		return last
	}
	return v
}

func (r *reader) target(key string, last *int) *int {
	text, present := r.data[key]
	if !present {
		key = windowsSpelling + key
		if text, present = r.data[key]; !present {
			return nil
		}
	}
	v, err := strconv.ParseInt(strings.TrimSpace(text), 10, 32)
	if err != nil {
		r.problems = append(r.problems, Problem{key, text, "a whole number", targetText(last)})
		return last
	}
	n := int(v)
	return &n
}

func targetText(target *int) string {
	if target == nil {
		return "the default"
	}
	return strconv.Quote(strconv.Itoa(*target))
}
