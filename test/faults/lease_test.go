package faults

import (
	"errors"
	"net/http"
	"testing"
)

// TestI1LeaseLostInABind has a process lose its lease while it takes back, for a
// bind, the list of free addresses. The pod is not bound.
func TestI1LeaseLostInABind(t *testing.T) {
	t.Parallel()
	h := start(t, prefixMode)
	n := h.node(threeSlots)
	h.awaitRecord(n)
	held, open := h.wire.hold(slotWrites, "")
	written := h.wire.record(bindings)
	p := h.pods(1)[0]
	answer := make(chan error)
	go func() { answer <- h.bind(p, n) }()
	h.awaitClosed(held, "the write is on its way")
	h.leads.Store(false)
	open()
	if err := <-answer; err == nil {
		t.Error("I1: the pod was bound though the lease was lost")
	}
	if got := written(); len(got) > 0 {
		t.Errorf("I1: without the lease it asked the API server to %s", got)
	}
	h.leads.Store(true)
	h.await("the pod is bound", func() error { return h.bind(p, n) })
	h.awaitAgreement(n)
}

// TestI2OldLeader keeps the write of an old leader, that some addresses are free, on
// its way until the next one has written too and gives these addresses to pods. The
// API server refuses it: the promise does not come back.
func TestI2OldLeader(t *testing.T) {
	t.Parallel()
	h := start(t, prefixMode)
	n := h.node(threeSlots)
	old := h.process
	t.Cleanup(func() {
		if err := old.finish(); err != nil {
			t.Error("the old leader ended with", err)
		}
	})
	h.awaitRecord(n)
	held, open := old.wire.hold(slotWrites, `"knownFree":["`)
	h.bound(10, n) // takes back the list that stands; the next one is held
	h.awaitClosed(held, "the write is on its way")
	old.leads.Store(false)

	h.run()
	h.await("the node is known", func() error { return h.known(n) })
	h.bound(1, n)
	h.awaitAgreement(n)
	if status := open(); status != http.StatusConflict {
		t.Errorf("I2: the API server answered %d to the old leader's write, want it refused as a conflict", status)
	}
	h.bound(8, n)
	h.awaitAgreement(n)
}

// awaitClosed waits until a channel is closed.
func (h *harness) awaitClosed(c <-chan struct{}, what string) {
	h.t.Helper()
	h.await(what, func() error {
		select {
		case <-c:
			return nil
		default:
			return errors.New("not yet")
		}
	})
}
