package settings

import (
	"fmt"
	"strings"

	"slotwise.dev/slotwise/allocator/ledger"
)

// LabelMode is the label of a Node that chooses the mode of its new pods over the
// ConfigMap, so that a group of nodes can switch before the others: "prefix" or
// "secondary-ip".
const LabelMode = "slotwise.dev/mode"

// Choice is the mode that a node's own label chooses. The zero value leaves it to the
// ConfigMap.
type Choice struct {
	Made bool
	Mode ledger.Kind
}

// ChoiceOf reads the labels of a Node. A value that cannot be read leaves the mode to the
// ConfigMap, and is an error for people.
func ChoiceOf(labels map[string]string) (Choice, error) {
	text, labelled := labels[LabelMode]
	if !labelled {
		return Choice{}, nil
	}
	for _, mode := range []ledger.Kind{ledger.Prefix, ledger.SecondaryIP} {
		if strings.EqualFold(text, mode.String()) {
			return Choice{Made: true, Mode: mode}, nil
		}
	}
	return Choice{}, fmt.Errorf("label %s: %q is neither %q nor %q; the mode of the ConfigMap holds on this node",
		LabelMode, text, ledger.Prefix, ledger.SecondaryIP)
}

// Or is the mode that holds on the node, where the ConfigMap says the given one.
func (c Choice) Or(mode ledger.Kind) ledger.Kind {
	if c.Made {
		return c.Mode
	}
	return mode
}
