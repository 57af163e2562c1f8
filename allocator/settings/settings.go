// Package settings reads the ConfigMap in which users already configure
// Windows addressing, amazon-vpc-cni. Nothing in it can stop the system: what
// is missing or does not parse means the default, and is named in a Problem.
package settings

import (
	"fmt"
	"strconv"
	"strings"

	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/warmpool"
)

// Keys of the ConfigMap. The targets have a second spelling with the prefix
// "windows-"; where both are present the plain one wins, as in AWS's
// controller.
const (
	KeyEnabled          = "enable-windows-ipam"
	KeyPrefixDelegation = "enable-windows-prefix-delegation"
	KeyWarmPrefixTarget = "warm-prefix-target"
	KeyWarmIPTarget     = "warm-ip-target"
	KeyMinimumIPTarget  = "minimum-ip-target"

	windowsSpelling = "windows-"
)

// Settings are what the ConfigMap says. The zero value is what no ConfigMap
// says: off.
type Settings struct {
	Enabled bool
	Mode    ledger.Kind // what new pods get: a secondary IP, or an address of a prefix
	Targets warmpool.Targets
}

// Problem is a value that could not be read and counts as its default.
type Problem struct {
	Key, Value, Want string
}

func (p Problem) String() string {
	return fmt.Sprintf("%s: %q is not %s; the default is used", p.Key, p.Value, p.Want)
}

// Parse reads the data of the ConfigMap. White space around values is ignored.
func Parse(data map[string]string) (Settings, []Problem) {
	r := reader{data: data}
	s := Settings{
		Enabled: r.truth(KeyEnabled),
		Targets: warmpool.Targets{
			WarmPrefixes: r.target(KeyWarmPrefixTarget),
			WarmIPs:      r.target(KeyWarmIPTarget),
			MinimumIPs:   r.target(KeyMinimumIPTarget),
		},
	}
	if r.truth(KeyPrefixDelegation) {
		s.Mode = ledger.Prefix
	}
	return s, r.problems
}

type reader struct {
	data     map[string]string
	problems []Problem
}

func (r *reader) truth(key string) bool {
	text, present := r.data[key]
	if !present {
		return false
	}
	v, err := strconv.ParseBool(strings.TrimSpace(text))
	if err != nil {
		r.problems = append(r.problems, Problem{key, text, `"true" or "false"`})
	}
	return v
}

func (r *reader) target(key string) *int {
	text, present := r.data[key]
	if !present {
		key = windowsSpelling + key
		if text, present = r.data[key]; !present {
			return nil
		}
	}
	v, err := strconv.ParseInt(strings.TrimSpace(text), 10, 32)
	if err != nil {
		r.problems = append(r.problems, Problem{key, text, "a whole number"})
		return nil
	}
	n := int(v)
	return &n
}
