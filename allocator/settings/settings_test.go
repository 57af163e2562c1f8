package settings

import (
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/warmpool"
)

func TestParse(t *testing.T) {
	one, two, minus := 1, 2, -1
	inForce := Settings{Enabled: true, Mode: ledger.Prefix, Targets: warmpool.Targets{WarmIPs: &two}}

	for name, c := range map[string]struct {
		data     map[string]string
		last     Settings
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
			want: inForce,
		},
		"the plain spelling wins": {
			data: map[string]string{KeyWarmPrefixTarget: "1", "windows-" + KeyWarmPrefixTarget: "2", "windows-" + KeyMinimumIPTarget: "2"},
			want: Settings{Targets: warmpool.Targets{WarmPrefixes: &one, MinimumIPs: &two}},
		},
		"negative values are kept for the targets to judge": {
			data: map[string]string{KeyWarmIPTarget: "-1"},
			want: Settings{Targets: warmpool.Targets{WarmIPs: &minus}},
		},
		"what is taken out is the default again": {
			data: map[string]string{KeyEnabled: "true"},
			last: inForce,
			want: Settings{Enabled: true},
		},

		"values that do not parse, at a start": {
			data: map[string]string{KeyEnabled: "yes", KeyWarmIPTarget: "3.5", "windows-" + KeyMinimumIPTarget: "many"},
			problems: []string{
				`enable-windows-ipam: "yes" is not "true" or "false"; "false" stays in force`,
				`warm-ip-target: "3.5" is not a whole number; the default stays in force`,
				`windows-minimum-ip-target: "many" is not a whole number; the default stays in force`,
			},
		},
		"values that do not parse, later": {
			data: map[string]string{KeyEnabled: "yes", KeyPrefixDelegation: "yes please", KeyWarmIPTarget: "3.5", KeyMinimumIPTarget: "many"},
			last: inForce,
			want: inForce,
			problems: []string{
				`enable-windows-ipam: "yes" is not "true" or "false"; "true" stays in force`,
				`warm-ip-target: "3.5" is not a whole number; "2" stays in force`,
				`minimum-ip-target: "many" is not a whole number; the default stays in force`,
				`enable-windows-prefix-delegation: "yes please" is not "true" or "false"; "true" stays in force`,
			},
		},
		"one that does not parse does not hold up the others": {
			data:     map[string]string{KeyEnabled: "false", KeyPrefixDelegation: "ture", KeyWarmIPTarget: "1"},
			last:     inForce,
			want:     Settings{Mode: ledger.Prefix, Targets: warmpool.Targets{WarmIPs: &one}},
			problems: []string{`enable-windows-prefix-delegation: "ture" is not "true" or "false"; "true" stays in force`},
		},
		"the plain spelling does not parse, the other does": {
			data:     map[string]string{KeyWarmIPTarget: "l", "windows-" + KeyWarmIPTarget: "1"},
			last:     Settings{Targets: warmpool.Targets{WarmIPs: &two}},
			want:     Settings{Targets: warmpool.Targets{WarmIPs: &two}},
			problems: []string{`warm-ip-target: "l" is not a whole number; "2" stays in force`},
		},
		"the spelling that does not win need not parse": {
			data: map[string]string{KeyWarmIPTarget: "1", "windows-" + KeyWarmIPTarget: "l"},
			want: Settings{Targets: warmpool.Targets{WarmIPs: &one}},
		},
		"the other spelling does not parse": {
			data:     map[string]string{"windows-" + KeyWarmIPTarget: "l"},
			last:     Settings{Targets: warmpool.Targets{WarmIPs: &two}},
			want:     Settings{Targets: warmpool.Targets{WarmIPs: &two}},
			problems: []string{`windows-warm-ip-target: "l" is not a whole number; "2" stays in force`},
		},
		"a number that no int holds": {
			data:     map[string]string{KeyWarmIPTarget: "99999999999999"},
			problems: []string{`warm-ip-target: "99999999999999" is not a whole number; the default stays in force`},
		},
		"an empty value is not unset": {
			data:     map[string]string{KeyEnabled: "true", KeyPrefixDelegation: ""},
			last:     inForce,
			want:     Settings{Enabled: true, Mode: ledger.Prefix},
			problems: []string{`enable-windows-prefix-delegation: "" is not "true" or "false"; "true" stays in force`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, problems := Parse(c.data, c.last)
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

// TestTypingErrorsChangeNothing: after any history of the ConfigMap the settings are
// as if each value that cannot be read had never been typed.
func TestTypingErrorsChangeNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var inForce Settings
		meant := map[string]string{} // by setting, the last text that can be read
		for range rapid.IntRange(1, 6).Draw(t, "changes") {
			data := genData.Draw(t, "data")
			before := maps.Clone(data)
			misread := mean(meant, data)

			var problems []Problem
			inForce, problems = Parse(data, inForce)
			want, none := Parse(meant, Settings{})
			if diff := cmp.Diff(want, inForce); diff != "" || len(none) > 0 {
				t.Fatalf("%v, meant as %v (-want +got):\n%s", data, meant, diff)
			}
			if len(problems) != misread {
				t.Fatalf("%d values of %v cannot be read; problems %v", misread, data, problems)
			}
			if !maps.Equal(before, data) {
				t.Fatalf("the data was %v and is %v", before, data)
			}
		}
	})
}

var keys = []string{KeyEnabled, KeyPrefixDelegation, KeyWarmPrefixTarget, KeyWarmIPTarget, KeyMinimumIPTarget}

// texts are values that can be read, and as the last one that cannot.
var texts = map[string][]string{
	KeyEnabled:          {"true", "false", " true\n", "yes"},
	KeyPrefixDelegation: {"true", "false", "F", ""},
	KeyWarmPrefixTarget: {"0", "2", "two"},
	KeyWarmIPTarget:     {"-1", " 7", "7.5"},
	KeyMinimumIPTarget:  {"3", "20", "20 0"},
}

func readable(key, text string) bool { return text != texts[key][len(texts[key])-1] }

var genData = rapid.Custom(func(t *rapid.T) map[string]string {
	data := map[string]string{}
	for _, key := range keys {
		spellings := []string{key}
		if key != KeyEnabled && key != KeyPrefixDelegation {
			spellings = append(spellings, "windows-"+key)
		}
		for _, spelling := range spellings {
			if rapid.Bool().Draw(t, spelling+" is there") {
				data[spelling] = rapid.SampledFrom(texts[key]).Draw(t, spelling)
			}
		}
	}
	return data
})

// mean records what the data means, and returns how many values mean nothing.
func mean(meant, data map[string]string) (misread int) {
	for _, key := range keys {
		text, present := data[key]
		if !present {
			text, present = data["windows-"+key]
		}
		switch {
		case !present:
			delete(meant, key)
		case readable(key, text):
			meant[key] = text
		default:
			misread++
		}
	}
	return misread
}

func FuzzParse(f *testing.F) {
	f.Add("true", "true", "3")
	f.Add("true ", "", "-1")
	f.Add("TRUE", "\x00", "0x10")
	f.Fuzz(func(t *testing.T, enabled, mode, target string) {
		s, problems := Parse(map[string]string{KeyEnabled: enabled, KeyPrefixDelegation: mode, KeyWarmIPTarget: target}, Settings{})
		named := false
		for _, p := range problems {
			named = named || p.Key == KeyWarmIPTarget
		}
		if named == (s.Targets.WarmIPs != nil) {
			t.Errorf("%q: read as %v, problems %v", target, s.Targets.WarmIPs, problems)
		}
	})
}
