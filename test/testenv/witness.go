package testenv

import (
	"context"
	"strings"

	"slotwise.dev/slotwise/test/ec2sim"
	"slotwise.dev/slotwise/test/witness"
)

// Watch has a witness judge what becomes of the pods of a namespace, or of all of them,
// until ctx ends. It is to be called before the first node is added: the witness is told
// of each node, and of each switch of the mode, from then on.
func (e *Env) Watch(ctx context.Context, namespace string) *witness.Witness {
	w := witness.Watch(ctx, e.Client, e.EC2, namespace, e.overlay.scheduler)
	e.Inform(w)
	return w
}

// Inform has a witness be told of nodes and of the mode, as Watch has it; of pods
// somebody else has to tell it.
func (e *Env) Inform(w *witness.Witness) {
	e.witness = w
	e.tellMode()
}

// tellNode tells the witness, where there is one, which interface a node has.
func (e *Env) tellNode(name string, eni ec2sim.Interface) {
	if e.witness != nil {
		e.witness.Node(name, eni)
	}
}

// configured records what the ConfigMap says of the mode. A value that does not parse
// changes nothing.
func (e *Env) configured(data map[string]string) {
	switch strings.TrimSpace(data["enable-windows-prefix-delegation"]) {
	case "true":
		e.prefixes = true
	case "false", "":
		e.prefixes = false
	}
	e.tellMode()
}

// tellMode tells the witness, where there is one, of the mode that the ConfigMap asks for.
func (e *Env) tellMode() {
	if e.witness != nil {
		e.witness.Note(witness.Note{Text: "the ConfigMap is written", Prefixes: new(e.prefixes)})
	}
}
