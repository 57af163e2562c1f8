package faults

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/rand"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/vpc"
	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/ec2sim"
)

// reasonDuplicateNode is the reason of the event on a Node that does not offer,
// because another of the same instance does.
const reasonDuplicateNode = "DuplicateNode"

// soon is how long it may take on a busy machine until what Slotwise has noticed has
// become true everywhere.
const soon = 10 * time.Second

// TestI5TwoNodesOfOneInstance has an instance register a second time under another
// name, while pods of the first Node hold 20 addresses of two prefixes: pods of both
// count, one of the Nodes offers what the interface has, and no prefix is unassigned
// under a pod. Then the first Node goes, and the other has its addresses at once.
func TestI5TwoNodesOfOneInstance(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		named  bool // EC2 calls the instance as the first Node is called, so that one offers
		unlike bool // the second Node has no label of its system at first
	}{
		"the newest offers":             {},
		"the one that EC2 names offers": {named: true},
		"the label comes late":          {named: true, unlike: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const slots, held = 5, 20
			s := start(t, prefixMode)
			first := s.instance(c.named)
			s.register(first, nil)
			s.awaitReady(first)
			pods := s.bound(held, first)

			second := first
			second.name = s.namespace + "-" + rand.String(5)
			s.register(second, nil)
			if c.unlike {
				s.label(second, nil)
				s.watchBlocks(pods, 20*time.Second)
				s.label(second, new(vpc.Windows))
			}
			offers, silent := second, first
			if c.named {
				offers, silent = first, second
			}
			s.within(soon, "one of the two offers the interface", func() error {
				return s.offersAlone(offers, silent, slots*16-held)
			})
			s.saysWithin(soon, silent, reasonDuplicateNode)
			s.watchBlocks(pods, time.Minute)
			if err := s.offersAlone(offers, silent, slots*16-held); err != nil {
				t.Error(err)
			}

			s.must(shared.DeleteNode(t.Context(), first.name))
			late := s.pods(1)[0]
			s.within(soon, "the other Node takes a pod", func() error { return s.bind(late, second) })
			s.onInterface(second, append(pods, late)...)
			s.showsWithin(soon, second, slots*16-held-1) // the pods of the first live on
			s.delete(pods...)
			s.showsWithin(45*time.Second, second, slots*16-1)
			s.unassignedUnder(late)
		})
	}
}

// TestI5NodeMadeAgain deletes a Node and makes it anew while its pods run, and takes
// its label off for a while. Its prefixes stay. Who had their other addresses meanwhile
// nobody knows, so those cool before they are given.
func TestI5NodeMadeAgain(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]func(s *system, n node) (back func()){
		"the Node": func(s *system, n node) func() {
			s.must(shared.DeleteNode(s.t.Context(), n.name))
			return func() { s.register(n, nil) }
		},
		"its label": func(s *system, n node) func() {
			s.label(n, nil)
			return func() { s.label(n, new(vpc.Windows)) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const held = 20
			s := start(t, prefixMode)
			n := s.instance(true)
			s.register(n, nil)
			s.awaitReady(n)
			pods := s.bound(held, n)
			s.awaitAgreement(n)

			back := away(s, n)
			s.watchBlocks(pods, 15*time.Second)
			back()
			late := s.pods(1)[0]
			s.within(soon, "the Node takes a pod", func() error { return s.bind(late, n) })
			s.onInterface(n, append(pods, late)...)
			s.showsWithin(time.Minute, n, 5*16-held-1)
			s.unassignedUnder(append(pods, late)...)
		})
	}
}

// TestI5PodOfUnknownNode has a live pod on a Node that Slotwise does not know hold an
// address of a prefix that is idle but for it. The prefix stays through a switch of
// mode for as long as the pod lives, and goes after it.
func TestI5PodOfUnknownNode(t *testing.T) {
	t.Parallel()
	for name, add := range map[string]func(s *system, stranger node){
		"a Linux Node": func(s *system, stranger node) { s.register(stranger, map[string]string{vpc.LabelOS: "linux"}) },
		"a Node without the label": func(s *system, stranger node) {
			s.register(stranger, map[string]string{vpc.LabelOS: "linux"})
			s.label(stranger, nil)
		},
		"no Node": func(*system, node) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, prefixMode)
			n := s.node(fiveSlots)
			stranger := node{name: s.namespace + "-" + rand.String(5), instance: n.instance, eni: n.eni}
			add(s, stranger)
			block := s.eni(n).Prefixes[0]
			p := s.annotateByHand(stranger, block.Addr().Next().Next())
			time.Sleep(time.Second) // the watch is to have shown it

			s.configure(secondaryMode)
			s.await("the node has its warm secondary IPs", func() error {
				if eni := s.eni(n); len(eni.Addresses) < 3 {
					return fmt.Errorf("it has %v", eni.Slots)
				}
				return nil
			})
			s.watchBlocks([]*corev1.Pod{p}, 15*time.Second)
			s.delete(p)
			s.await("the prefix is given back", func() error { return s.has(n, 3, 0) })
		})
	}
}

// TestI1PodOfUnknownNode: what such a pod holds is given to no other.
func TestI1PodOfUnknownNode(t *testing.T) {
	t.Parallel()
	s := start(t, prefixMode)
	n := s.node(fiveSlots)
	held := s.eni(n).Prefixes[0].Addr().Next()
	s.annotateByHand(node{name: s.namespace + "-gone"}, held)
	time.Sleep(time.Second) // the watch is to have shown it
	for _, p := range s.bound(20, n) {
		if a := s.address(p); a == held {
			t.Errorf("I1: %s was given again", a)
		}
	}
}

// instance starts an instance that no Node has yet; named: EC2 calls it as its Node
// is called.
func (s *system) instance(named bool) node {
	s.t.Helper()
	n := node{name: s.namespace + "-" + rand.String(5), instance: "i-0" + rand.String(16)}
	i := ec2sim.Instance{ID: n.instance, Type: fiveSlots, Subnet: s.subnet}
	if named {
		i.DNSName = n.name
	}
	eni, err := s.ec2.AddInstance(i)
	s.must(err)
	n.eni = eni.ID
	return n
}

// register adds the Node of an instance, with labels beside the usual ones. Unlike
// that of node it may be gone at the end of the test.
func (s *system) register(n node, labels map[string]string) {
	s.t.Helper()
	o := n.object(s.namespace, fiveSlots)
	maps.Copy(o.Labels, labels)
	_, err := shared.Cluster.AddNode(s.t.Context(), o)
	s.must(err)
	s.t.Cleanup(func() {
		object := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.name}}
		if err := client.IgnoreNotFound(shared.Kube.Delete(context.Background(), object)); err != nil {
			s.t.Error(err)
		}
	})
}

// label sets or removes the label that says which system a Node has.
func (s *system) label(n node, os *string) {
	s.t.Helper()
	value := "null"
	if os != nil {
		value = fmt.Sprintf("%q", *os)
	}
	patch := fmt.Sprintf(`{"metadata":{"labels":{%q:%s}}}`, vpc.LabelOS, value)
	s.must(check.ErrorOf(shared.Client.CoreV1().Nodes().Patch(s.t.Context(), n.name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})))
}

// annotateByHand makes a pod on a node with an address, past everybody.
func (s *system) annotateByHand(n node, a netip.Addr) *corev1.Pod {
	s.t.Helper()
	p := s.newPod()
	p.Spec.NodeName = n.name
	p.Annotations = map[string]string{vpc.Annotation: a.String() + "/32"}
	s.must(shared.Kube.Create(s.t.Context(), p))
	return p
}

// offersAlone says what is wrong where one Node does not offer so many addresses, or
// another does not keep silent: of its pods it may go on speaking.
func (s *system) offersAlone(offers, silent node, remaining int) error {
	shown, err := shared.Capacity(s.t.Context(), offers.name)
	if err != nil || shown.Remaining != remaining || shown.Advertised < remaining {
		return errors.Join(fmt.Errorf("%s offers %+v, want %d remaining", offers.name, shown, remaining), err)
	}
	var object corev1.Node
	if err := shared.Kube.Get(s.t.Context(), client.ObjectKey{Name: silent.name}, &object); err != nil {
		return err
	}
	advertised := object.Status.Capacity[vpc.Resource]
	if n := int(advertised.Value()); n > s.live(silent) {
		return fmt.Errorf("%s advertises %d beside %s, which offers %+v", silent.name, n, offers.name, shown)
	}
	if r := s.room(silent); r.Free+r.Obtainable > 0 {
		return fmt.Errorf("%s has room %+v beside %s", silent.name, r, offers.name)
	}
	return nil
}

// showsWithin waits, no longer than limit, until a Node shows so many addresses
// remaining.
func (s *system) showsWithin(limit time.Duration, n node, remaining int) {
	s.t.Helper()
	s.within(limit, fmt.Sprintf("%s shows %d addresses remaining", n.name, remaining), func() error {
		shown, err := shared.Capacity(s.t.Context(), n.name)
		if err == nil && shown.Remaining != remaining {
			err = fmt.Errorf("it shows %+v", shown)
		}
		return err
	})
}

// watchBlocks watches for some time that no block is unassigned in which one of the
// pods, which all live, has its address.
func (s *system) watchBlocks(pods []*corev1.Pod, d time.Duration) {
	s.t.Helper()
	for began := time.Now(); time.Since(began) < d; time.Sleep(time.Second) {
		if !s.unassignedUnder(pods...) {
			return
		}
	}
}

// unassignedUnder fails the test where a block was unassigned in which one of the
// pods has its address, and is false then.
func (s *system) unassignedUnder(pods ...*corev1.Pod) (well bool) {
	s.t.Helper()
	under := map[netip.Prefix]int{}
	for _, p := range pods {
		a, err := vpc.ParseAddress(p.Annotations[vpc.Annotation])
		if err != nil {
			a = netip.PrefixFrom(s.address(p), 32)
		}
		for _, c := range s.ec2.ChangesOf(a.Addr()) {
			if byHand := c.Call == 0; !c.Assigned && !byHand && c.Time.After(p.CreationTimestamp.Time) {
				under[c.Range]++
			}
		}
	}
	for block, n := range under {
		s.t.Errorf("I5: %s was unassigned under %d pods that live", block, n)
	}
	return len(under) == 0
}

// onInterface checks that pods have addresses, each its own, that the interface has.
func (s *system) onInterface(n node, pods ...*corev1.Pod) {
	s.t.Helper()
	var lost []netip.Addr
	seen := map[netip.Addr]bool{}
	for _, p := range pods {
		a := s.address(p)
		if seen[a] {
			s.t.Errorf("I1: %s has %s, which another pod has too", p.Name, a)
		}
		if seen[a] = true; !s.eniHas(n, a) {
			lost = append(lost, a)
		}
	}
	if len(lost) > 0 {
		s.t.Errorf("%d of %d pods have addresses that are not on the interface: %v", len(lost), len(pods), lost)
	}
}

// eniHas says that an interface has an address, by itself or in a prefix.
func (s *system) eniHas(n node, a netip.Addr) bool {
	eni := s.eni(n)
	return slices.Contains(eni.Addresses, a) ||
		slices.ContainsFunc(eni.Prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}
