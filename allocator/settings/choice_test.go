package settings

import (
	"testing"

	"slotwise.dev/slotwise/allocator/ledger"
)

func TestChoice(t *testing.T) {
	for name, c := range map[string]struct {
		labels map[string]string
		// What holds where the ConfigMap says secondary-ip, and where it says prefix.
		secondary, prefix ledger.Kind
		err               string
	}{
		"no label":     {secondary: ledger.SecondaryIP, prefix: ledger.Prefix},
		"prefix":       {labels: map[string]string{LabelMode: "prefix"}, secondary: ledger.Prefix, prefix: ledger.Prefix},
		"secondary-ip": {labels: map[string]string{LabelMode: "Secondary-IP"}, secondary: ledger.SecondaryIP, prefix: ledger.SecondaryIP},
		"a slip": {
			labels: map[string]string{LabelMode: "prefixes"}, secondary: ledger.SecondaryIP, prefix: ledger.Prefix,
			err: `label slotwise.dev/mode: "prefixes" is neither "prefix" nor "secondary-ip"; the mode of the ConfigMap holds on this node`,
		},
		"empty": {
			labels: map[string]string{LabelMode: ""}, secondary: ledger.SecondaryIP, prefix: ledger.Prefix,
			err: `label slotwise.dev/mode: "" is neither "prefix" nor "secondary-ip"; the mode of the ConfigMap holds on this node`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			choice, err := ChoiceOf(c.labels)
			if got := choice.Or(ledger.SecondaryIP); got != c.secondary {
				t.Errorf("over secondary-ip it is %s, want %s", got, c.secondary)
			}
			if got := choice.Or(ledger.Prefix); got != c.prefix {
				t.Errorf("over prefix it is %s, want %s", got, c.prefix)
			}
			if text := errText(err); text != c.err {
				t.Errorf("the error is %q, want %q", text, c.err)
			}
		})
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
