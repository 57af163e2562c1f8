package faults

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/api/v1alpha1"
	"slotwise.dev/slotwise/allocator/capacity"
	"slotwise.dev/slotwise/allocator/vpc"
	"slotwise.dev/slotwise/test/controlplane"
	"slotwise.dev/slotwise/test/ec2sim"
	"slotwise.dev/slotwise/test/testenv"
)

// node is a Windows node of a system.
type node struct {
	name, instance, eni string
}

// Instance types with few slots: the pods that fill them are quickly made.
const (
	fiveSlots  = "t3.medium"
	threeSlots = "t3.small"
)

// node adds a Windows node in the system's subnet and waits until addresses can be
// had on it, its warm pool included.
func (s *system) node(instanceType string) node {
	s.t.Helper()
	return s.nodeIn(instanceType, s.subnet)
}

func (s *system) nodeIn(instanceType, subnet string) node {
	s.t.Helper()
	n := s.join(instanceType, subnet)
	s.awaitReady(n)
	return n
}

// join starts an instance that joins the cluster as a Windows node.
func (s *system) join(instanceType, subnet string) node {
	s.t.Helper()
	n := node{name: s.namespace + "-" + rand.String(5), instance: "i-0" + rand.String(16)}
	eni, err := s.ec2.AddInstance(ec2sim.Instance{ID: n.instance, Type: instanceType, Subnet: subnet})
	s.must(err)
	n.eni = eni.ID
	shared.NewNode(s.t, n.object(s.namespace, instanceType))
	return n
}

// object is the node as its kubelet registers it.
func (n node) object(test, instanceType string) controlplane.Node {
	return controlplane.Node{
		Name: n.name, ProviderID: "aws:///" + testenv.Zone + "/" + n.instance, InstanceType: instanceType,
		Windows: true, Labels: map[string]string{testLabel: test},
	}
}

// awaitReady waits until a node has free addresses.
func (s *system) awaitReady(n node) {
	s.t.Helper()
	s.await("node "+n.name+" has free addresses", func() error {
		if r := s.room(n); r.Free == 0 {
			return fmt.Errorf("it has room %+v", r)
		}
		return nil
	})
}

// room is what a node can give, as the extender's filter reads it.
func (s *system) room(n node) (r capacity.Room) {
	s.View(capacity.Pod{}, func(lookup func([]byte) capacity.Room) { r = lookup([]byte(n.name)) })
	return r
}

// remaining is a node's true remaining capacity.
func (s *system) remaining(n node) int {
	r := s.room(n)
	return int(r.Free + r.Obtainable)
}

// awaitRemaining waits until a node can give exactly so many more addresses, and
// the Node object says so: that is what wakes the scheduler.
func (s *system) awaitRemaining(n node, want int) {
	s.t.Helper()
	s.await(fmt.Sprintf("node %s shows %d addresses remaining", n.name, want), func() error {
		shown, err := shared.Capacity(s.t.Context(), n.name)
		if got := s.remaining(n); got != want || err != nil || shown.Remaining != want {
			return errors.Join(fmt.Errorf("it has %+v, and shows %+v", s.room(n), shown), err)
		}
		return nil
	})
}

// eni is what a node's network interface has in EC2 now.
func (s *system) eni(n node) ec2sim.Interface {
	i, _ := s.ec2.Interface(n.eni)
	return i
}

// pods creates pods that no scheduler looks at.
func (s *system) pods(n int) []*corev1.Pod {
	s.t.Helper()
	pods := make([]*corev1.Pod, n)
	errs := make([]error, n)
	each(n, func(i int) {
		pods[i] = s.newPod()
		errs[i] = shared.Kube.Create(s.t.Context(), pods[i])
	})
	s.must(errors.Join(errs...))
	return pods
}

// newPod is a Windows pod as the webhook leaves it.
func (s *system) newPod() *corev1.Pod {
	p := testenv.Pod(s.namespace, "pod-"+rand.String(8))
	p.Spec.SchedulerName = "nobody"
	one := corev1.ResourceList{vpc.Resource: resource.MustParse("1")}
	p.Spec.Containers[0].Resources = corev1.ResourceRequirements{Requests: one, Limits: one}
	return p
}

// bindTimeout is how long the extender lets a bind wait for EC2.
const bindTimeout = 25 * time.Second

// bind binds a pod as the extender does, and returns its answer.
func (s *system) bind(p *corev1.Pod, n node) error {
	ctx, cancel := context.WithTimeout(s.t.Context(), bindTimeout)
	defer cancel()
	return s.Bind(ctx, client.ObjectKeyFromObject(p), p.UID, n.name)
}

// bindAll binds pods side by side, and returns the answers in the pods' order.
func (s *system) bindAll(pods []*corev1.Pod, n node) []error {
	answers := make([]error, len(pods))
	each(len(pods), func(i int) { answers[i] = s.bind(pods[i], n) })
	return answers
}

// countErrors counts the binds that were turned away.
func countErrors(answers []error) (n int) {
	for _, err := range answers {
		if err != nil {
			n++
		}
	}
	return n
}

// bound creates pods and binds them to a node, which must go well.
func (s *system) bound(count int, n node) []*corev1.Pod {
	s.t.Helper()
	pods := s.pods(count)
	s.must(errors.Join(s.bindAll(pods, n)...))
	return pods
}

// address is the address that a pod has, as the API server says; invalid: none.
func (s *system) address(p *corev1.Pod) netip.Addr {
	s.t.Helper()
	s.must(shared.Kube.Get(s.t.Context(), client.ObjectKeyFromObject(p), p))
	a, err := vpc.ParseAddress(p.Annotations[vpc.Annotation])
	if err != nil {
		return netip.Addr{}
	}
	return a.Addr()
}

// delete ends pods at once, as a force deletion does.
func (s *system) delete(pods ...*corev1.Pod) {
	s.t.Helper()
	errs := make([]error, len(pods))
	each(len(pods), func(i int) {
		errs[i] = shared.Kube.Delete(s.t.Context(), pods[i], client.GracePeriodSeconds(0))
	})
	s.must(errors.Join(errs...))
}

// each calls f with 0 to n-1 side by side, and waits for all.
func each(n int, f func(i int)) {
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { f(i) })
	}
	group.Wait()
}

// slots reads the NodeSlots object of a node.
func (s *system) slots(n node) (v1alpha1.NodeSlotsStatus, error) {
	var o v1alpha1.NodeSlots
	err := shared.Kube.Get(s.t.Context(), client.ObjectKey{Name: n.name}, &o)
	return o.Status, err
}

// awaitAgreement waits until the books of a node are what EC2 has and what the API
// server says: no slot is lost, no pod forgotten (I6).
func (s *system) awaitAgreement(n node) {
	s.t.Helper()
	s.await("I6: ledger, EC2 and the API server agree about "+n.name, func() error {
		book, err := s.slots(n)
		if err != nil {
			return err
		}
		eni, live := s.eni(n), s.live(n)
		want := v1alpha1.NodeSlotsStatus{
			NetworkInterface: n.eni, SecondaryIPs: int32(len(eni.Addresses)), Prefixes: int32(len(eni.Prefixes)), InUse: int32(live),
		}
		got := v1alpha1.NodeSlotsStatus{
			NetworkInterface: book.NetworkInterface, SecondaryIPs: book.SecondaryIPs, Prefixes: book.Prefixes,
			InUse: book.InUse, Waiting: book.Waiting,
		}
		if !equal(want, got) {
			return fmt.Errorf("the ledger says %+v, want %+v", got, want)
		}
		return nil
	})
}

func equal(a, b v1alpha1.NodeSlotsStatus) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

// live counts the pods of a node that have an address and have not ended.
func (s *system) live(n node) int {
	s.t.Helper()
	var pods corev1.PodList
	s.must(shared.Kube.List(s.t.Context(), &pods, client.InNamespace(s.namespace)))
	pods.Items = slices.DeleteFunc(pods.Items, func(p corev1.Pod) bool {
		return p.Spec.NodeName != n.name || p.Annotations[vpc.Annotation] == "" ||
			p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
	})
	return len(pods.Items)
}

// awaitNodeEvent waits for an event on a node whose note contains a text.
func (s *system) awaitNodeEvent(n node, reason, text string) {
	s.t.Helper()
	s.must(shared.AwaitEvent(s.t.Context(), "Node", "", n.name, reason, text))
}

// metric is the sum of a metric of the running process over all its series with the
// labels, name and value alternately.
func (s *system) metric(name string, labels ...string) (sum float64) {
	s.t.Helper()
	families, err := s.metrics.Gather()
	s.must(err)
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			has := map[string]string{}
			for _, l := range m.GetLabel() {
				has[l.GetName()] = l.GetValue()
			}
			for pair := range slices.Chunk(labels, 2) {
				if has[pair[0]] != pair[1] {
					m = nil // of another series; nil counts nothing
				}
			}
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}

// calls lists the calls of an action that EC2 has got.
func (s *system) calls(action string) []ec2sim.Call {
	return slices.DeleteFunc(s.ec2.Calls(), func(c ec2sim.Call) bool { return c.Action != action })
}

// has says what is wrong where a node has not so many secondary IPs and prefixes
// in EC2.
func (s *system) has(n node, secondaryIPs, prefixes int) error {
	if eni := s.eni(n); len(eni.Addresses) != secondaryIPs || len(eni.Prefixes) != prefixes {
		return fmt.Errorf("%s has %d secondary IPs and %d prefixes, want %d and %d",
			n.name, len(eni.Addresses), len(eni.Prefixes), secondaryIPs, prefixes)
	}
	return nil
}

// nodeEvents lists the reasons of the events that a node has now.
func (s *system) nodeEvents(n node) []string {
	s.t.Helper()
	list, err := shared.Client.EventsV1().Events(metav1.NamespaceDefault).List(s.t.Context(), metav1.ListOptions{
		FieldSelector: "regarding.name=" + n.name,
	})
	s.must(err)
	var reasons []string
	for _, e := range list.Items {
		reasons = append(reasons, e.Reason)
	}
	return reasons
}
