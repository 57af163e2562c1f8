package faults

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/events"
	"slotwise.dev/slotwise/test/controlplane"
)

// TestI2EndsOfPods ends a pod in every way there is. Its address cools and is then
// free again: with none lost, what the node can give comes back to what it was, and
// the observer sees that nothing was given too soon.
func TestI2EndsOfPods(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pod func(*corev1.Pod) // changes it before it is created
		end func(s *system, p *corev1.Pod)
	}{
		"deleted with a grace period": {
			pod: stopAfter("3s"),
			end: func(s *system, p *corev1.Pod) {
				s.must(shared.Kube.Delete(s.t.Context(), p))
				time.Sleep(time.Second)
				if got := s.remaining(node{name: p.Spec.NodeName}); got != 3*16-1 {
					s.t.Errorf("%d addresses remain while the pod terminates, want %d", got, 3*16-1)
				}
			},
		},
		"deleted by force": {
			pod: stopAfter("1h"),
			end: func(s *system, p *corev1.Pod) { s.delete(p) },
		},
		"succeeded, and stays as a job's does": {
			pod: func(p *corev1.Pod) {
				p.Annotations = map[string]string{controlplane.CompleteAfterAnnotation: "1s"}
			},
			end: func(s *system, p *corev1.Pod) {
				s.awaitPhase(p, corev1.PodSucceeded)
			},
		},
		"failed": {
			pod: func(*corev1.Pod) {},
			end: func(s *system, p *corev1.Pod) {
				s.awaitPhase(p, corev1.PodRunning)
				before := p.DeepCopy()
				p.Status.Phase = corev1.PodFailed
				s.must(shared.Kube.Status().Patch(s.t.Context(), p, client.MergeFrom(before)))
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, prefixMode)
			n := s.node(threeSlots)
			p := s.newPod()
			c.pod(p)
			s.must(shared.Kube.Create(t.Context(), p))
			s.must(s.bind(p, n))
			s.address(p)
			c.end(s, p)
			s.awaitCooling(1)
			s.bound(15, n) // all that is free; the other one is not
			s.awaitAllRemaining(n)
			s.bound(1, n)
		})
	}
}

// stopAfter has a pod's kubelet take so long to end it when it is deleted.
func stopAfter(d string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Annotations = map[string]string{controlplane.StopAfterAnnotation: d} }
}

// awaitPhase waits until a pod is in a phase.
func (s *system) awaitPhase(p *corev1.Pod, want corev1.PodPhase) {
	s.t.Helper()
	s.await(fmt.Sprintf("pod %s is %s", p.Name, want), func() error {
		if s.address(p); p.Status.Phase != want {
			return fmt.Errorf("it is %s", p.Status.Phase)
		}
		return nil
	})
}

// TestDeletedBeforeItIsBound deletes a pod that the scheduler is about to bind.
func TestDeletedBeforeItIsBound(t *testing.T) {
	t.Parallel()
	s := start(t, prefixMode)
	n := s.node(threeSlots)
	p := s.pods(1)[0]
	s.delete(p)
	if err := s.bind(p, n); err == nil {
		t.Error("a pod was bound that is not there")
	}
	s.awaitAllRemaining(n)
}

// TestSameNameAgain has a pod replaced by another one of the same name, as a
// StatefulSet does, before the old one is bound and after. Neither gets what is the
// other's.
func TestSameNameAgain(t *testing.T) {
	t.Parallel()
	s := start(t, prefixMode)
	n := s.node(threeSlots)
	var addresses []netip.Addr
	p := s.pods(1)[0]
	for range 4 {
		again := s.newPod()
		again.Name = p.Name
		stopAfter("1h")(again) // or its kubelet might delete the next one of that name
		s.delete(p)
		s.must(shared.Kube.Create(t.Context(), again))
		_ = s.bind(p, n) // it may have been bound before: that is no error
		if s.isBound(again) == nil {
			t.Error("a pod was bound in the place of another of its name")
		}
		s.must(s.bind(again, n))
		addresses = append(addresses, s.address(again))
		p = again
	}
	slices.SortFunc(addresses, netip.Addr.Compare)
	if len(slices.Compact(addresses)) != 4 {
		t.Errorf("I2: the pods had the addresses %v, want each another", addresses)
	}
	s.awaitAllRemaining(n)
}

// TestI2NodeDeletedWithPods deletes a Node under its pods and registers it again: the
// pods that live have their addresses, and those of pods that ended in between cool.
func TestI2NodeDeletedWithPods(t *testing.T) {
	t.Parallel()
	s := start(t, prefixMode)
	n := s.node(threeSlots)
	pods := s.bound(8, n)
	s.awaitAgreement(n)
	s.must(shared.DeleteNode(t.Context(), n.name))
	s.await("the node is unknown", func() error {
		if r := s.room(n); r.Free+r.Obtainable > 0 {
			return fmt.Errorf("it has %+v", r)
		}
		return nil
	})
	if err := s.bind(s.pods(1)[0], n); err == nil {
		t.Error("a pod was bound to a node that is not there")
	}
	s.delete(pods[:4]...)
	_, err := shared.Cluster.AddNode(t.Context(), n.object(s.namespace, threeSlots))
	s.must(err)
	s.await("the node can have pods", func() error { return s.bind(s.pods(1)[0], n) })
	s.bound(20, n)
	s.awaitAllRemaining(n)
}

// TestKubeletResetsTheResource has the kubelet set the resource to zero, as it does
// when it registers again. It is advertised again at once.
func TestKubeletResetsTheResource(t *testing.T) {
	t.Parallel()
	s := start(t, prefixMode)
	n := s.node(threeSlots)
	s.bound(4, n)
	s.awaitRemaining(n, 3*16-4)
	for range 3 {
		s.resetResource(n)
		s.awaitTotal(n, 3*16)
	}
}

// TestI1Duplicates gives two live pods one address, as nothing that Slotwise does
// can, but a leader that was frozen may have. The younger one is evicted and told
// why, the older one stays, and a metric counts it.
func TestI1Duplicates(t *testing.T) {
	t.Parallel()
	s := start(t, prefixMode)
	s.meddled = true
	n, other := s.node(threeSlots), s.node(threeSlots)
	older := s.bound(1, n)[0]
	address := s.address(older)
	time.Sleep(1100 * time.Millisecond) // creation times are in seconds
	younger := s.pods(1)[0]
	s.must(s.bindAs(younger, other, address.String()+"/32"))

	s.await("the younger pod is gone", func() error { return s.isGone(younger) })
	s.must(shared.AwaitEvent(t.Context(), "Pod", s.namespace, younger.Name, events.ReasonDuplicate, older.Name))
	if got := s.address(older); got != address {
		t.Errorf("the older pod has %s, it had %s", got, address)
	}
	if got := s.metric("slotwise_addresses_duplicated_total"); got != 1 {
		t.Errorf("the metric counts %v, want 1", got)
	}
	s.awaitAgreement(n)
	s.awaitAgreement(other)
}
