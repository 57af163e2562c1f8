package faults

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/vpc"
)

// TestI1WithoutTheLease takes a process its lease, and gives it every reason to
// write: a pod to bind, one to annotate, one to evict, pools to warm, a Node and a
// NodeSlots that no longer say the truth. It writes nothing: there may be another
// leader. Once it has the lease again, it makes up for all.
func TestI1WithoutTheLease(t *testing.T) {
	t.Parallel()
	s := start(t, twoPrefixes)
	s.meddled = true
	n, other := s.node(fiveSlots), s.node(fiveSlots)
	for _, x := range []node{n, other} {
		s.await("the pool is full", func() error { return s.has(x, 0, 2) })
	}
	pods := s.bound(4, n)
	s.await("the pool has grown", func() error { return s.has(n, 0, 3) })
	time.Sleep(1100 * time.Millisecond) // creation times are in seconds, and the younger pod is to be evicted
	younger, foreign, late := s.pods(1)[0], s.pods(1)[0], s.pods(1)[0]
	s.awaitRecord(n)
	s.awaitAgreement(n)

	tried := make(chan struct{})
	tell := sync.OnceFunc(func() { close(tried) })
	heal := s.wire.inject(podPatches, func(r *http.Request, pass roundTripper) (*http.Response, error) {
		tell() // there is a pause of half a second before the next
		return unsent(r, pass)
	})
	s.placeByHand(n, foreign)
	s.awaitClosed(tried, "a pod is being annotated")

	s.leads.Store(false)
	written := s.wire.record(writes)
	heal()
	s.ec2.ResetCalls()
	s.delete(pods[1:]...)
	s.must(s.bindAs(younger, other, s.address(pods[0]).String()+"/32"))
	s.configure(settings{"enable-windows-prefix-delegation": "true", "warm-prefix-target": "3"})
	s.resetResource(other)
	s.awaitCooling(3)
	s.await("the duplicate is noticed", func() error {
		if s.metric("slotwise_addresses_duplicated_total") == 0 {
			return errors.New("it is not")
		}
		return nil
	})
	if err := s.bind(late, n); err == nil {
		t.Error("I1: a pod was bound without the lease")
	}
	time.Sleep(6 * time.Second) // for whatever it would do, after pauses of up to two seconds
	for _, r := range written() {
		if !strings.Contains(r, "/events") {
			t.Errorf("I1: without the lease it asked the API server to %s", r)
		}
	}
	if calls := slices.Concat(s.calls(assign), s.calls(unassign)); len(calls) > 0 {
		t.Errorf("I1: without the lease it asked EC2 for %v", calls)
	}

	s.leads.Store(true)
	s.await("the pod that another scheduler placed has its address", func() error { return s.isBound(foreign) })
	s.await("the younger pod is gone", func() error { return s.isGone(younger) })
	s.await("the pools have grown", func() error { return errors.Join(s.has(n, 0, 4), s.has(other, 0, 3)) })
	s.await("the pod is bound", func() error { return s.bind(late, n) })
	for _, x := range []node{n, other} {
		s.awaitAgreement(x)
		s.awaitTotal(x, 5*16)
	}
}

// TestI1LeaseLostInABind has a process lose its lease while it takes back, for a
// bind, the list of free addresses. The pod is not bound.
func TestI1LeaseLostInABind(t *testing.T) {
	t.Parallel()
	s := start(t, prefixMode)
	n := s.node(threeSlots)
	s.awaitRecord(n)
	held, open := s.wire.hold(slotWrites, "")
	written := s.wire.record(bindings)
	p := s.pods(1)[0]
	answer := make(chan error)
	go func() { answer <- s.bind(p, n) }()
	s.awaitClosed(held, "the write is on its way")
	s.leads.Store(false)
	open()
	if err := <-answer; err == nil {
		t.Error("I1: the pod was bound though the lease was lost")
	}
	if got := written(); len(got) > 0 {
		t.Errorf("I1: without the lease it asked the API server to %s", got)
	}
	s.leads.Store(true)
	s.await("the pod is bound", func() error { return s.bind(p, n) })
	s.awaitAllRemaining(n)
}

// TestI2OldLeader keeps the write of an old leader, that some addresses are free, on
// its way until the next one has written too and gives these addresses to pods. The
// API server refuses it: the promise does not come back.
func TestI2OldLeader(t *testing.T) {
	t.Parallel()
	s := start(t, prefixMode)
	n := s.node(threeSlots)
	old := s.process
	t.Cleanup(func() {
		if err := old.finish(); err != nil {
			t.Error("the old leader ended with", err)
		}
	})
	s.awaitRecord(n)
	held, open := old.wire.hold(slotWrites, `"knownFree":["`)
	s.bound(10, n) // takes back the list that stands; the next one is held
	s.awaitClosed(held, "the write is on its way")
	old.leads.Store(false)

	s.run()
	s.await("the node is known", func() error { return s.known(n) })
	s.bound(1, n)
	s.awaitAgreement(n)
	if status := open(); status != http.StatusConflict {
		t.Errorf("I2: the API server answered %d to the old leader's write, want it refused as a conflict", status)
	}
	s.bound(8, n)
	s.awaitAgreement(n)
	s.awaitAllRemaining(n)
}

// awaitClosed waits until a channel is closed.
func (s *system) awaitClosed(c <-chan struct{}, what string) {
	s.t.Helper()
	s.await(what, func() error {
		select {
		case <-c:
			return nil
		default:
			return errors.New("not yet")
		}
	})
}

// bindAs binds a pod with an annotation, as nobody but Slotwise may.
func (s *system) bindAs(p *corev1.Pod, n node, annotation string) error {
	return shared.Client.CoreV1().Pods(s.namespace).Bind(s.t.Context(), &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: p.Name, Annotations: map[string]string{vpc.Annotation: annotation}},
		Target:     corev1.ObjectReference{Kind: "Node", Name: n.name},
	}, metav1.CreateOptions{})
}

// isGone says what is wrong where a pod is there.
func (s *system) isGone(p *corev1.Pod) error {
	err := shared.Kube.Get(s.t.Context(), client.ObjectKeyFromObject(p), &corev1.Pod{})
	if err == nil {
		return fmt.Errorf("pod %s is there", p.Name)
	}
	return client.IgnoreNotFound(err)
}

// resetResource sets the resource of a Node to zero, as its kubelet does when it
// registers again.
func (s *system) resetResource(n node) {
	s.t.Helper()
	var o corev1.Node
	s.must(shared.Kube.Get(s.t.Context(), client.ObjectKey{Name: n.name}, &o))
	before := o.DeepCopy()
	for _, list := range []corev1.ResourceList{o.Status.Capacity, o.Status.Allocatable} {
		list[vpc.Resource] = resource.MustParse("0")
	}
	s.must(shared.Kube.Status().Patch(s.t.Context(), &o, client.MergeFrom(before)))
}

// awaitTotal waits until a Node shows so much of the resource.
func (s *system) awaitTotal(n node, want int) {
	s.t.Helper()
	s.await(fmt.Sprintf("node %s shows %d addresses", n.name, want), func() error {
		c, err := shared.Capacity(s.t.Context(), n.name)
		if err == nil && c.Advertised != want {
			err = fmt.Errorf("it shows %+v", c)
		}
		return err
	})
}
