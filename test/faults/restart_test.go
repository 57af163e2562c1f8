package faults

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/api/v1alpha1"
	"slotwise.dev/slotwise/allocator/capacity"
	"slotwise.dev/slotwise/test/controlplane"
	"slotwise.dev/slotwise/test/ec2sim"
)

// TestI2Restart ends a process and starts another one. What the first has shown to
// be free is given at once, everything else of the old prefix only after 30 s.
func TestI2Restart(t *testing.T) {
	t.Parallel()
	const before = 10 // pods, of the 16 that a prefix holds
	for name, c := range map[string]struct {
		end func(s *system, n node, pods []*corev1.Pod)
		// free is how many addresses can be given as soon as the next process runs.
		free int
		pods int // that live then
	}{
		"in order": {
			end:  func(s *system, _ node, _ []*corev1.Pod) { s.stop() },
			free: 16 - before, pods: before,
		},
		"killed when the node had been still": {
			end:  func(s *system, n node, _ []*corev1.Pod) { s.awaitRecord(n); s.kill() },
			free: 16 - before, pods: before,
		},
		"killed when an address had just been given": {
			end:  func(s *system, n node, _ []*corev1.Pod) { s.awaitRecord(n); s.bound(1, n); s.kill() },
			free: 0, pods: before + 1,
		},
		"killed, and pods end before the next one": {
			end: func(s *system, n node, pods []*corev1.Pod) {
				s.awaitRecord(n)
				s.kill()
				s.delete(pods[:5]...)
			},
			free: 16 - before, pods: before - 5,
		},
		"in order, just after pods had ended": {
			end: func(s *system, _ node, pods []*corev1.Pod) {
				s.delete(pods[:5]...)
				s.awaitCooling(5)
				s.stop()
			},
			free: 16 - before, pods: before - 5,
		},
		"killed, and the record is gone": {
			end: func(s *system, n node, _ []*corev1.Pod) {
				s.awaitRecord(n)
				s.kill()
				s.must(shared.Kube.Delete(s.t.Context(), &v1alpha1.NodeSlots{ObjectMeta: metav1.ObjectMeta{Name: n.name}}))
			},
			free: 0, pods: before,
		},
		"killed, and the record is damaged": {
			end: func(s *system, n node, _ []*corev1.Pod) {
				s.awaitRecord(n)
				s.kill()
				s.damageRecord(n, `{"status":{"knownFree":["10.0.0.0/8","nonsense"]}}`)
			},
			free: 0, pods: before,
		},
		"killed, and the record is another interface's": {
			end: func(s *system, n node, _ []*corev1.Pod) {
				s.awaitRecord(n)
				s.kill()
				s.damageRecord(n, `{"status":{"networkInterface":"eni-of-another"}}`)
			},
			free: 0, pods: before,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, prefixMode)
			n := s.node(fiveSlots)
			pods := s.bound(before, n)
			s.awaitAgreement(n)
			old := s.eni(n).Prefixes

			c.end(s, n, pods)
			began := time.Now()
			s.run()
			s.await("the node is known", func() error { return s.known(n) })
			// On a machine that is slow the rest has cooled down by now.
			if got := int(s.room(n).Free); got != c.free && time.Since(began) < 30*time.Second {
				t.Errorf("%d addresses are free at once, want %d", got, c.free)
			}
			// More than is free: the rest has to come from a new prefix while what is
			// left of the old one cools.
			given := 0
			for _, p := range s.bound(c.free+3, n) {
				if slices.Contains(old, netip.PrefixFrom(s.address(p), 28).Masked()) {
					given++
				}
			}
			if took := time.Since(began); given != c.free && took < 30*time.Second {
				t.Errorf("I2: %d addresses of the old prefix were given within %s, want %d", given, took, c.free)
			}
			s.await("no address is lost", func() error {
				if live, left := s.live(n), s.remaining(n); live != c.pods+c.free+3 || live+left != 5*16 {
					return fmt.Errorf("%d pods live, %d addresses remain, want %d and all %d", live, left, c.pods+c.free+3, 5*16)
				}
				return nil
			})
			s.awaitAgreement(n)
		})
	}
}

// awaitRecord waits until the free addresses of a node are written down.
func (s *system) awaitRecord(n node) {
	s.t.Helper()
	s.await("the free addresses of "+n.name+" are written down", func() error {
		book, err := s.slots(n)
		if err == nil && len(book.KnownFree) == 0 {
			err = errors.New("none is")
		}
		return err
	})
}

// damageRecord patches the NodeSlots object of a node.
func (s *system) damageRecord(n node, patch string) {
	s.t.Helper()
	o := &v1alpha1.NodeSlots{ObjectMeta: metav1.ObjectMeta{Name: n.name}}
	s.must(shared.Kube.Status().Patch(s.t.Context(), o, client.RawPatch(types.MergePatchType, []byte(patch))))
}

// known says what is wrong where the ledger of a node is not yet rebuilt.
func (s *system) known(n node) error {
	r := s.room(n).Reason
	if r == capacity.Unknown || r == capacity.NotReady || r == capacity.Off || !s.Serving() {
		return fmt.Errorf("the filter says %q, binds are served: %t", r, s.Serving())
	}
	return nil
}

// TestI6KilledDuringACall kills a process while EC2 works on a change, and has EC2
// finish that after the next process has looked: it is found out all the same.
func TestI6KilledDuringACall(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		action   string
		cause    func(s *system, n node)
		prefixes int // in the end
	}{
		"assign": {
			action:   assign,
			cause:    func(s *system, _ node) { s.configure(twoPrefixes) },
			prefixes: 2,
		},
		"unassign": {
			action: unassign,
			cause: func(s *system, n node) {
				s.configure(twoPrefixes)
				s.await("there are two", func() error { return s.has(n, 0, 2) })
				s.configure(prefixMode)
			},
			prefixes: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, prefixMode)
			n := s.node(threeSlots)
			s.ec2.Inject(ec2sim.Fault{Kind: ec2sim.DelayBefore, Action: c.action, ENI: n.eni, Times: 1, Delay: 12 * time.Second})
			c.cause(s, n)
			s.await("EC2 works on it", func() error { return s.inFlight(c.action) })
			s.kill()
			s.run()
			s.await("the node is known", func() error { return s.known(n) })
			if s.inFlight(c.action) != nil {
				t.Log("EC2 was done before the next process had looked: the machine is slow")
			}
			s.await("EC2 is done", func() error {
				if s.inFlight(c.action) == nil {
					return errors.New("it works")
				}
				return s.has(n, 0, c.prefixes)
			})
			s.awaitAllRemaining(n)
		})
	}
}

// inFlight says what is wrong where EC2 works on no call of an action.
func (s *system) inFlight(action string) error {
	if slices.ContainsFunc(s.calls(action), func(c ec2sim.Call) bool { return c.End.IsZero() }) {
		return nil
	}
	return fmt.Errorf("no %s is in flight", action)
}

// TestI2KilledInABurst kills a process in the middle of a burst, again and again. In
// the end every pod has its address, none was lost and none was given twice.
func TestI2KilledInABurst(t *testing.T) {
	t.Parallel()
	s := start(t, prefixMode)
	nodes := []node{s.node(fiveSlots), s.node(fiveSlots), s.node(fiveSlots)}
	pods := s.pods(90)
	for range 3 {
		var burst sync.WaitGroup
		for i, p := range pods {
			burst.Go(func() { _ = s.bind(p, nodes[i%3]) })
		}
		time.Sleep(150 * time.Millisecond)
		s.kill()
		burst.Wait()
		s.run()
		for _, n := range nodes {
			s.await("the node is known", func() error { return s.known(n) })
		}
	}
	for i, p := range pods {
		s.await("the pod is bound", func() error {
			if s.isBound(p) == nil {
				return nil
			}
			return s.bind(p, nodes[i%3])
		})
	}
	for _, n := range nodes {
		s.awaitAgreement(n)
	}
}

// TestNoBindBeforeTheRebuild holds up what a new process has to read first, one thing
// at a time. Until it has read it, it binds nothing and promises nothing.
func TestNoBindBeforeTheRebuild(t *testing.T) {
	t.Parallel()
	for name, hold := range map[string]func(s *system, open chan struct{}) (fault func(*wire)){
		"the pods": func(_ *system, open chan struct{}) func(*wire) {
			return func(w *wire) { w.inject(podLists, until(open)) }
		},
		"the network interface": func(s *system, open chan struct{}) func(*wire) {
			heal := s.ec2.Inject(ec2sim.Fault{Kind: ec2sim.Refuse, Action: describe, Code: "InternalError"})
			go func() { <-open; heal() }()
			return func(*wire) {}
		},
		"the record of free addresses": func(_ *system, open chan struct{}) func(*wire) {
			return func(w *wire) { w.inject(nodeSlots, until(open)) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, prefixMode)
			n := s.node(fiveSlots)
			s.bound(4, n)
			s.stop()
			open := make(chan struct{})
			s.run(hold(s, open))
			p := s.pods(1)[0]
			for range 10 {
				if err := s.bind(p, n); err == nil {
					t.Fatal("a pod was bound by a process that does not know the node yet")
				}
				if r := s.room(n); r.Reason == capacity.Fits && s.Serving() {
					t.Fatalf("the filter is served, and promises %+v", r)
				}
				time.Sleep(200 * time.Millisecond)
			}
			close(open)
			s.await("the pod is bound", func() error { return s.bind(p, n) })
			s.awaitAgreement(n)
		})
	}
}

// TestStartWith500Nodes starts with 500 nodes, at 80 ms for a call of EC2. Each node
// has some pods' worth of addresses from an earlier life. It has the machine to
// itself: tests in parallel begin later.
func TestStartWith500Nodes(t *testing.T) {
	const nodes, took80 = 500, 80 * time.Millisecond
	s := prepare(t, freshRange(20), settings{"warm-ip-target": "1", "minimum-ip-target": "1"})
	all := make([]controlplane.Node, nodes)
	for i := range all {
		n := node{name: s.namespace + "-" + strconv.Itoa(i), instance: fmt.Sprintf("i-%017x", i)}
		eni, err := s.ec2.AddInstance(ec2sim.Instance{ID: n.instance, Type: threeSlots, Subnet: s.subnet})
		s.must(err)
		_, err = s.ec2.Assign(eni.ID, ec2sim.Request{AddressCount: 1})
		s.must(err)
		all[i] = n.object(s.namespace, threeSlots)
	}
	s.must(shared.Cluster.AddNodes(t.Context(), all...))
	t.Cleanup(func() {
		each(nodes, func(i int) { _ = shared.DeleteNode(context.Background(), all[i].Name) })
	})
	s.ec2.SetLatency(ec2sim.AnyAction, ec2sim.Latency{Mean: took80})

	began := time.Now()
	s.run()
	s.await("all nodes are known", func() error {
		if got := s.metric("slotwise_nodes", "state", "ready"); got != nodes {
			return fmt.Errorf("%v are", got)
		}
		return nil
	})
	took, calls := time.Since(began), s.ec2.Counts()
	t.Logf("%d nodes were known after %s and %d calls: %v", nodes, took.Round(10*time.Millisecond), len(s.ec2.Calls()), calls)
	if most := 40; len(s.ec2.Calls()) > most {
		t.Errorf("EC2 got %d calls, want at most %d", len(s.ec2.Calls()), most)
	}
	if took > 30*time.Second {
		t.Errorf("it took %s", took)
	}
}
