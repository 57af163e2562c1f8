package faults

import (
	"errors"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestAPIServerRestarts takes the real API server away and brings it back. It has
// the server to itself: tests in parallel begin later.
func TestAPIServerRestarts(t *testing.T) {
	s := start(t, prefixMode)
	n := s.node(threeSlots)
	pods, waiting := s.bound(8, n), s.pods(1)[0]
	if err := shared.APIServer.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := s.bind(waiting, n); err == nil {
		t.Error("a pod was bound without an API server")
	}
	if err := shared.APIServer.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.delete(pods[:4]...)
	s.await("a pod can be bound again", func() error { return s.bind(waiting, n) })
	s.awaitAgreement(n)
}

// TestI2APIServerAway keeps the API server out of Slotwise's reach for 30 s. Binds
// fail and leave nothing behind; what ended meanwhile is found out afterwards, and
// cools before it is given again.
func TestI2APIServerAway(t *testing.T) {
	t.Parallel()
	s := start(t, prefixMode)
	n := s.node(threeSlots)
	pods := s.bound(12, n)

	mend := s.wire.away()
	s.delete(pods[:8]...)
	waiting := s.pods(4)
	for _, err := range s.bindAll(waiting, n) {
		if err == nil {
			t.Error("a pod was bound without an API server")
		}
	}
	time.Sleep(30 * time.Second)
	if got := s.calls(unassign); len(got) > 0 {
		t.Errorf("addresses were given back to EC2 that pods may hold: %v", got)
	}
	mend()

	s.await("pods can be bound again", func() error { return errors.Join(s.bindAll(waiting, n)...) })
	s.bound(8, n) // more than was free: these come from another prefix, not from what cools
	s.awaitAgreement(n)
}

// TestEndsWithoutAPIServer ends Slotwise when the API server has been away for a
// while: only then is its lease given up, so nothing may hold that up.
func TestEndsWithoutAPIServer(t *testing.T) {
	t.Parallel()
	s := start(t, prefixMode)
	s.bound(4, s.node(threeSlots))
	s.wire.away()
	time.Sleep(20 * time.Second)
	began := time.Now()
	s.stop()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
}

// TestWatchesCut ends the watches again and again while pods come and go: what they
// did not tell is found out by listing.
func TestWatchesCut(t *testing.T) {
	t.Parallel()
	s := start(t, prefixMode)
	n := s.node(fiveSlots)
	for range 6 {
		pods := s.bound(4, n)
		s.wire.cutWatches()
		s.delete(pods[:3]...)
		s.wire.cutWatches()
	}
	s.awaitAgreement(n)
}

// TestI2EndsThatNoWatchTold has pods come and end while the watches are down: they
// were never there, as far as a watch can tell.
func TestI2EndsThatNoWatchTold(t *testing.T) {
	t.Parallel()
	for name, down := range map[string]func(s *system) (up func()){
		"watches cut and lists held up": func(s *system) func() {
			open := make(chan struct{})
			remove := s.wire.inject(podLists, until(open))
			s.wire.cutWatches()
			return func() { close(open); remove() }
		},
		"watches that stand still": func(s *system) func() { return s.wire.stallWatches() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, prefixMode)
			n := s.node(threeSlots)
			old := s.bound(4, n)
			s.awaitAgreement(n)

			up := down(s)
			s.delete(old...)           // their end is not told
			s.delete(s.bound(4, n)...) // nor are these ever shown
			s.bound(4, n)              // and these only later
			s.awaitCooling(4)          // the binds are looked up all the same
			up()
			s.awaitCooling(8)
			s.bound(8, n)
			s.awaitAgreement(n)
		})
	}
}

// awaitCooling waits until at least so many addresses cool, of all nodes.
func (s *system) awaitCooling(want int) {
	s.t.Helper()
	s.await(fmt.Sprintf("%d addresses cool", want), func() error {
		if got := s.metric("slotwise_addresses", "state", "cooling"); int(got) < want {
			return fmt.Errorf("%v do", got)
		}
		return nil
	})
}

// TestConflicts has every write for every object refused once because another one
// was quicker. In the end all is written.
func TestConflicts(t *testing.T) {
	t.Parallel()
	s := start(t, prefixMode)
	s.wire.inject(writes, first(conflict))
	n := s.node(fiveSlots)
	s.awaitRemaining(n, 5*16)

	pods := s.pods(4)
	for _, err := range s.bindAll(pods, n) {
		if err == nil {
			t.Error("the bind did not tell of the conflict")
		}
	}
	for _, p := range pods { // each request for a pod meets a conflict once
		s.await("the pod is bound", func() error { return s.bind(p, n) })
	}

	foreign := s.pods(4)
	s.placeByHand(n, foreign...)
	for _, p := range foreign {
		s.await("a pod that another scheduler placed has its address", func() error {
			if !s.address(p).IsValid() {
				return errors.New("it has none")
			}
			return nil
		})
	}
	s.awaitRemaining(n, 5*16-8)
	s.awaitAgreement(n)
}

// placeByHand binds pods without an address, as another scheduler does.
func (s *system) placeByHand(n node, pods ...*corev1.Pod) {
	s.t.Helper()
	errs := make([]error, len(pods))
	each(len(pods), func(i int) {
		errs[i] = shared.Client.CoreV1().Pods(s.namespace).Bind(s.t.Context(), &corev1.Binding{
			ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: pods[i].Name},
			Target:     corev1.ObjectReference{Kind: "Node", Name: n.name},
		}, metav1.CreateOptions{})
	})
	s.must(errors.Join(errs...))
}
