package settings

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/warmpool"
)

func TestParse(t *testing.T) {
	one, two, minus := 1, 2, -1
	for name, c := range map[string]struct {
		data     map[string]string
		want     Settings
		problems []string
	}{
		"no ConfigMap": {},
		"secondary IP mode": {
			data: map[string]string{KeyEnabled: "true"},
			want: Settings{Enabled: true},
		},
		"prefix mode, white space around values": {
			data: map[string]string{KeyEnabled: "true ", KeyPrefixDelegation: "\ttrue\n", KeyWarmIPTarget: " 2 "},
			want: Settings{Enabled: true, Mode: ledger.Prefix, Targets: warmpool.Targets{WarmIPs: &two}},
		},
		"the plain spelling wins": {
			data: map[string]string{KeyWarmPrefixTarget: "1", "windows-" + KeyWarmPrefixTarget: "2", "windows-" + KeyMinimumIPTarget: "2"},
			want: Settings{Targets: warmpool.Targets{WarmPrefixes: &one, MinimumIPs: &two}},
		},
		"negative values are kept for the targets to judge": {
			data: map[string]string{KeyWarmIPTarget: "-1"},
			want: Settings{Targets: warmpool.Targets{WarmIPs: &minus}},
		},
		"values that do not parse": {
			data: map[string]string{KeyEnabled: "yes", KeyWarmIPTarget: "3.5", "windows-" + KeyMinimumIPTarget: "many"},
			problems: []string{
				`enable-windows-ipam: "yes" is not "true" or "false"; the default is used`,
				`warm-ip-target: "3.5" is not a whole number; the default is used`,
				`windows-minimum-ip-target: "many" is not a whole number; the default is used`,
			},
		},
		"a number that no int holds": {
			data:     map[string]string{KeyWarmIPTarget: "99999999999999"},
			problems: []string{`warm-ip-target: "99999999999999" is not a whole number; the default is used`},
		},
		"an empty value is not unset": {
			data:     map[string]string{KeyEnabled: "true", KeyPrefixDelegation: ""},
			want:     Settings{Enabled: true},
			problems: []string{`enable-windows-prefix-delegation: "" is not "true" or "false"; the default is used`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, problems := Parse(c.data)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
			var texts []string
			for _, p := range problems {
				texts = append(texts, p.String())
			}
			if diff := cmp.Diff(c.problems, texts); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add("true", "true", "3")
	f.Add("true ", "", "-1")
	f.Add("TRUE", "\x00", "0x10")
	f.Fuzz(func(t *testing.T, enabled, mode, target string) {
		s, problems := Parse(map[string]string{KeyEnabled: enabled, KeyPrefixDelegation: mode, KeyWarmIPTarget: target})
		named := false
		for _, p := range problems {
			named = named || p.Key == KeyWarmIPTarget
		}
		if named == (s.Targets.WarmIPs != nil) {
			t.Errorf("%q: read as %v, problems %v", target, s.Targets.WarmIPs, problems)
		}
	})
}
