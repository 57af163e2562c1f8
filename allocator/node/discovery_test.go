package node

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/api/v1alpha1"
	"slotwise.dev/slotwise/allocator/capacity"
	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/events"
	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/policy"
	"slotwise.dev/slotwise/allocator/settings"
	"slotwise.dev/slotwise/allocator/vpc"
	"slotwise.dev/slotwise/test/ec2sim"
)

// ready says that the node gives addresses.
func (w *world) ready() bool {
	c, _ := w.node.Capacity()
	return c.Ready
}

// I2: the cooldown of addresses that may have been in use begins once all pods are
// known: one that ended before would not be seen.
func TestI2NodeIsOpenedOncePodsAreRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, policy.Manage())
		w.gate.podsRead = make(chan struct{})
		w.assign(t, prefix)
		go w.node.Serve(t.Context())
		time.Sleep(10 * time.Minute)
		if w.ready() {
			t.Fatal("ready before the pods are read")
		}
		close(w.gate.podsRead)
		time.Sleep(time.Second)
		if c, _ := w.node.Capacity(); !c.Ready || c.Free != 0 || c.Cooling != 16 {
			t.Errorf("%+v, want 16 addresses that cool from now on", c)
		}
	})
}

// What EC2 does not answer is asked for again, soon once it answers anybody, and people
// are told of what lasts.
func TestDiscoveryTriesAgain(t *testing.T) {
	for name, c := range map[string]struct {
		code   string
		times  int
		within time.Duration // it is ready
		reason string        // of the event
	}{
		"throttled":        {"RequestLimitExceeded", 3, 5 * time.Second, ""},
		"no answer":        {"InternalError", 8, 2 * time.Minute, ""},
		"not known yet":    {"InvalidInstanceID.NotFound", 2, 10 * time.Second, ""},
		"not known at all": {"InvalidInstanceID.NotFound", 6, 5 * time.Minute, events.ReasonUnmanaged},
		"refused":          {"UnauthorizedOperation", 2, 10 * time.Second, events.ReasonUnsupported},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, policy.Manage())
				w.ec2.Inject(ec2sim.Fault{Kind: ec2sim.Refuse, Code: c.code, Action: string(cloud.DescribeInstances), Times: c.times})
				go w.node.Serve(t.Context())
				time.Sleep(500 * time.Millisecond)
				if w.ready() && c.code != "RequestLimitExceeded" { // a throttled page is asked for again at once
					t.Error("ready at once")
				}
				time.Sleep(c.within)
				if !w.ready() {
					t.Errorf("not ready within %s", c.within)
				}
				for _, reason := range []string{events.ReasonUnmanaged, events.ReasonUnsupported} {
					if got := w.events.of(reason); (len(got) > 0) != (reason == c.reason) {
						t.Errorf("events %s: %q", reason, got)
					}
				}
			})
		})
	}
}

// That EC2 answers one node again is shown to all: nobody sits out its pause.
func TestDiscoveryHearsThatEC2Answers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, policy.Manage())
		remove := w.ec2.Inject(ec2sim.Fault{Kind: ec2sim.DropBefore, Action: string(cloud.DescribeInstances)})
		go w.node.Serve(t.Context())
		time.Sleep(10 * time.Minute)
		remove()
		if _, err := w.shared.EC2.Instance(t.Context(), w.instance); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		if !w.ready() {
			t.Error("not ready a second after EC2 has answered another")
		}
	})
}

// Reservations that may not be read, as of a subnet of another account, do not keep the
// node from being ready; people are told.
func TestReservationsUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, policy.Manage())
		w.ec2.Inject(ec2sim.Fault{Kind: ec2sim.Refuse, Code: "UnauthorizedOperation", Action: string(cloud.GetReservations)})
		go w.node.Serve(t.Context())
		time.Sleep(time.Minute)
		if got := w.events.of(events.ReasonRefused); !w.ready() || len(got) != 1 {
			t.Errorf("ready: %t, events %q", w.ready(), got)
		}
	})
}

// A worker that is ended while it discovers ends.
func TestDiscoveryEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, policy.Manage())
		w.ec2.Inject(ec2sim.Fault{Kind: ec2sim.DropBefore})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			w.node.Serve(ctx)
			close(ended)
		}()
		time.Sleep(10 * time.Minute)
		cancel()
		synctest.Wait()
		select {
		case <-ended:
		default:
			t.Error("it goes on")
		}
	})
}

// An instance whose type EC2 does not know cannot be managed.
func TestUnsupportedInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, policy.Manage())
		if err := w.ec2.Terminate("i-1"); err != nil {
			t.Fatal(err)
		}
		w.run(t, "i-2", "two.unknown")
		w.node.ID.Instance = "i-2"
		go w.node.Serve(t.Context())
		time.Sleep(time.Minute)
		if got := w.events.of(events.ReasonUnsupported); w.ready() || len(got) == 0 || !strings.Contains(got[0], "unknown instance type") {
			t.Errorf("ready: %t, events %q", w.ready(), got)
		}
	})
}

// Prefixes need Nitro; another instance stays in secondary IP mode, and people are told.
func TestNotNitro(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, policy.Manage())
		if err := w.ec2.Terminate("i-1"); err != nil {
			t.Fatal(err)
		}
		w.eni = w.run(t, "i-2", "two.old")
		w.node.ID.Instance = "i-2"
		go w.node.Serve(t.Context())
		time.Sleep(time.Minute)
		if c := w.counts(); c.Mode != ledger.SecondaryIP || c.SecondaryIPs != 2 {
			t.Errorf("%+v, want two secondary IPs", c)
		}
		if got := w.events.of(events.ReasonUnsupported); len(got) != 1 {
			t.Errorf("events %q", got)
		}
	})
}

// I2: what the leader before has promised to be free is free at once, where the promise
// is to be trusted; all else cools first.
func TestI2PromisedAddresses(t *testing.T) {
	half := []string{"10.0.0.16/32", "10.0.0.17/32"}
	for name, c := range map[string]struct {
		status *v1alpha1.NodeSlotsStatus
		policy policy.Policy
		others []string // Nodes of the same instance
		free   int
	}{
		"no object":                     {nil, policy.Manage(), nil, 0},
		"some are promised":             {&v1alpha1.NodeSlotsStatus{KnownFree: half}, policy.Manage(), nil, 2},
		"of another interface":          {&v1alpha1.NodeSlotsStatus{NetworkInterface: "eni-of-before", KnownFree: half}, policy.Manage(), nil, 0},
		"another Node may have offered": {&v1alpha1.NodeSlotsStatus{KnownFree: half}, policy.Manage(), []string{"left-over"}, 0},
		"another allocator gives them":  {&v1alpha1.NodeSlotsStatus{KnownFree: half}, policy.Observe(time.Minute), nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, c.policy)
				w.assign(t, prefix)
				if w.store.status = c.status; c.status != nil && c.status.NetworkInterface == "" {
					w.store.status.NetworkInterface = w.eni
				}
				w.node.ID.Rename(Names{Offers: "win-1", Others: c.others})
				x, err := (&discovery{w.node.core, w.node.Slots}).read(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				(&discovery{w.node.core, w.node.Slots}).open(x)
				if got := w.counts().Free; got != c.free {
					t.Errorf("%d addresses are free, want %d", got, c.free)
				}
			})
		})
	}
}

// Pods of a Node that has joined late are read before the interface is; one with an
// address that the interface has holds it, wherever it is.
func TestI5PodsAreHeldFromTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, policy.Manage())
		w.assign(t, prefix)
		w.api.on["win-1"] = []corev1.Pod{{
			ObjectMeta: metav1.ObjectMeta{UID: "here", Annotations: map[string]string{vpc.Annotation: "10.0.0.16/32"}},
			Spec:       corev1.PodSpec{NodeName: "win-1"},
		}}
		stranger := pod("stranger", at(1))
		stranger.Node = "unknown"
		w.shared.Pods.Place(stranger, time.Now())
		w.node.ID.ReadPods("win-1")
		go w.node.Serve(t.Context())
		time.Sleep(time.Minute)
		for uid, want := range map[types.UID]netip.Addr{"here": at(0), "stranger": at(1)} {
			if got, _ := w.holder(uid); got != want {
				t.Errorf("%s holds %s, want %s", uid, got, want)
			}
		}
		if w.told.named == 0 {
			t.Error("nobody was told what EC2 calls the node")
		}
	})
}

// I3: a node that has gone while it was read from EC2 does not come to life.
func TestI3RetiredNodeStaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, policy.Manage())
		w.node.Retire()
		w.open(t)
		if w.ready() {
			t.Error("it gives addresses")
		}
		if _, _, err := w.obtain(t.Context(), "pod"); !isReason(err, capacity.NotReady) {
			t.Errorf("Obtain = %v, want %s", err, capacity.NotReady)
		}
		if got := w.node.Foresee(nil); !got.Retired || got.Read {
			t.Errorf("Foresee = %+v", got)
		}
	})
}

// In mode observe a node that is read right after a switch of mode promises nothing until
// EC2 has been seen once the other allocator has certainly followed.
func TestObserveSettlesAfterASwitch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := policy.Observe(30 * time.Second)
		w := newWorld(t, p)
		p.Switched(time.Now())
		w.assign(t, prefix)
		w.open(t)
		if w.ready() {
			t.Fatal("ready though the other may go on in the mode from before")
		}
		if got := w.node.Foresee(nil); !got.Read {
			t.Error("nothing is foreseen, though ends bring addresses all the same")
		}
		time.Sleep(time.Until(p.Certain()))
		w.shared.Subnets.Look(t.Context(), w.node.core.budget)
		if !w.ready() {
			t.Error("not ready though EC2 was seen since")
		}
		p.Switched(time.Now())
		w.set(settings.Settings{Enabled: true})
		w.node.Apply()
		if w.ready() {
			t.Error("ready right after a switch of mode")
		}
	})
}

// I3: the Node is registered again right after EC2 has changed the interface, and the
// describe does not show that yet: a call that counts on the slot would have to fail.
func TestI3DiscoveryKnowsWhatWasDoneBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, policy.Manage())
		b, err := w.shared.Subnets.Budget(t.Context(), "subnet-1")
		if err != nil {
			t.Fatal(err)
		}
		w.ec2.SetLag(5 * time.Second)
		time.Sleep(time.Minute)
		got, err := w.shared.EC2.Assign(t.Context(), w.eni, ledger.Prefix, 2)
		if err != nil {
			t.Fatal(err)
		}
		b.Took(w.eni, ledger.Prefix, 0, got)
		go w.node.Serve(t.Context())
		time.Sleep(time.Second)
		if c, _ := w.node.Capacity(); !c.Ready || c.Prefixes != 2 {
			t.Errorf("%+v, want the prefixes that were assigned before", c)
		}
		time.Sleep(time.Minute)
		if calls := w.ec2.Calls(); slices.ContainsFunc(calls, func(c ec2sim.Call) bool { return c.Code != "" }) {
			t.Errorf("%+v, want none that fails", calls)
		}
	})
}
