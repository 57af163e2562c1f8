package kubelet

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/test/sim/apiserver"
	"slotwise.dev/slotwise/test/sim/scheduler/fit"
)

// TestAdmit goes through the rules of lifecycle/predicate.go.
func TestAdmit(t *testing.T) {
	const custom = "example.com/thing"
	affine := func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"group": "x"} }
	tests := map[string]struct {
		requests fit.Amounts
		others   load
		offers   corev1.ResourceList
		taint    corev1.Taint
		pod      func(*corev1.Pod)
		fresh    map[string]string // labels of the Node as it is; nil: it has gone
		want     string
	}{
		"fits":                     {requests: fit.Amounts{{Resource: resourceName, N: 1}}, offers: corev1.ResourceList{"pods": quantity(1), resourceName: quantity(1)}},
		"no address":               {requests: fit.Amounts{{Resource: resourceName, N: 1}}, offers: corev1.ResourceList{"pods": quantity(1), resourceName: quantity(0)}, want: outOfAddress},
		"all addresses are used":   {requests: fit.Amounts{{Resource: resourceName, N: 1}}, others: load{1, fit.Amounts{{Resource: resourceName, N: 1}}}, offers: corev1.ResourceList{"pods": quantity(9), resourceName: quantity(1)}, want: outOfAddress},
		"a resource never offered": {requests: fit.Amounts{{Resource: custom, N: 1}}, offers: corev1.ResourceList{"pods": quantity(1)}},
		"no cpu offered":           {requests: fit.Amounts{{Resource: "cpu", N: 1}}, offers: corev1.ResourceList{"pods": quantity(1)}, want: "OutOfcpu"},
		"max-pods":                 {others: load{pods: 2}, offers: corev1.ResourceList{"pods": quantity(2)}, want: "OutOfpods"},
		"a label, known late":      {pod: affine, fresh: map[string]string{"group": "x"}, offers: corev1.ResourceList{"pods": quantity(1)}},
		"a label":                  {pod: affine, fresh: map[string]string{"group": "y"}, offers: corev1.ResourceList{"pods": quantity(1)}, want: "NodeAffinity"},
		"a label, the Node gone":   {pod: affine, offers: corev1.ResourceList{"pods": quantity(1)}, want: "NodeAffinity"},
		"cordoned":                 {taint: corev1.Taint{Key: "k", Effect: corev1.TaintEffectNoSchedule}, offers: corev1.ResourceList{"pods": quantity(1)}},
		"not ready":                {taint: corev1.Taint{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoExecute}, offers: corev1.ResourceList{"pods": quantity(1)}},
		"for others":               {taint: corev1.Taint{Key: "k", Effect: corev1.TaintEffectNoExecute}, offers: corev1.ResourceList{"pods": quantity(1)}, want: "TaintToleration"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p, n := &corev1.Pod{}, &corev1.Node{}
			n.Status.Allocatable = test.offers
			if test.taint.Key != "" {
				n.Spec.Taints = []corev1.Taint{test.taint}
			}
			if test.pod != nil {
				test.pod(p)
			}
			v := admit(p, test.requests, test.others, n, func() *corev1.Node {
				if test.fresh == nil {
					return nil
				}
				now := n.DeepCopy()
				now.Labels = test.fresh
				return now
			})
			if v.reason != test.want {
				t.Errorf("got %q, want %q: %s", v.reason, test.want, v.message)
			}
		})
	}
}

// TestRejectsForGood: what does not fit has failed, counts for nobody, and is told.
func TestRejectsForGood(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		w.bind("p")
		w.bind("q")
		w.bind("more")
		w.is("p", corev1.PodRunning)
		w.is("q", corev1.PodRunning)
		w.isOutOf("more", outOfAddress)
		if got, want := w.get("more").Status.Message, "Pod was rejected: Node didn't have enough resource: "+resourceName+", requested: 1, used: 2, capacity: 2"; got != want {
			t.Errorf("it says %q, want %q", got, want)
		}
		r := w.rejected[0]
		if len(r.Counted) != 2 || r.Known == nil || r.Again {
			t.Errorf("it counted %d pods, knew %v; again: %t", len(r.Counted), r.Known, r.Again)
		}
		w.remove("p", nil)
		pause(deletion + settle)
		w.bind("next")
		w.is("next", corev1.PodRunning)
		w.is("more", corev1.PodFailed)
		w.remove("more", nil)
		pause(settle)
		w.is("more", "")
	})
}

// TestKnowsItsNodeLate: the kubelet goes by the Node that its watch has shown it last.
func TestKnowsItsNodeLate(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		w.bind("p")
		w.advertise(2)
		w.bind("early")
		w.isOutOf("early", outOfAddress) // it has not heard of the growth yet
		pause(nodeLag)
		w.bind("late")
		w.is("late", corev1.PodRunning)
		w.remove("p", apiserver.Force())
		w.advertise(1)
		w.bind("one-more")
		w.is("one-more", corev1.PodRunning) // nor of the loss
	})
}

// TestEndedPodsCount until their sandboxes have gone, which is after they are told to have
// ended.
func TestEndedPodsCount(t *testing.T) {
	for phase, annotation := range map[corev1.PodPhase]string{corev1.PodSucceeded: CompleteAfterAnnotation, corev1.PodFailed: FailAfterAnnotation} {
		t.Run(string(phase), func(t *testing.T) {
			inWorld(t, 1, func(w *world) {
				w.bind("job", annotations(annotation, "1s"))
				w.is("job", corev1.PodRunning)
				pause(time.Second)
				w.is("job", phase)
				w.bind("early")
				w.isOutOf("early", outOfAddress)
				if got := condition(w.get("job"), corev1.PodReadyToStartContainers); got != corev1.ConditionTrue {
					t.Errorf("its sandbox is there: %q", got)
				}
				pause(teardown)
				if got := condition(w.get("job"), corev1.PodReadyToStartContainers); got != corev1.ConditionFalse {
					t.Errorf("its sandbox is there: %q", got)
				}
				w.bind("late")
				w.is("late", corev1.PodRunning)
			})
		})
	}
}

// TestDeletedPodsCount as long as their objects are there; one that was deleted by force
// does not, though its sandbox is there.
func TestDeletedPodsCount(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		w.bind("slow", annotations(StopAfterAnnotation, "4s"))
		w.remove("slow", nil)
		pause(6 * time.Second)
		w.is("slow", corev1.PodRunning)
		w.bind("early")
		w.isOutOf("early", outOfAddress)
		w.remove("slow", apiserver.Force())
		pause(settle)
		if len(w.machine.Addresses()) != 1 {
			t.Error("its sandbox has gone")
		}
		w.bind("late")
		w.is("late", corev1.PodRunning)
		pause(deletion)
		if len(w.machine.Addresses()) != 1 {
			t.Error("its sandbox is still there")
		}
	})
}

// TestRestartAdmitsAnew: in the order of creation, against the Node as it is now, and also
// pods that run.
func TestRestartAdmitsAnew(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		for _, name := range []string{"c", "b", "a"} {
			w.bind(name)
			pause(time.Second)
		}
		w.stop()
		<-w.over
		w.advertise(2)
		w.start(false)
		w.is("c", corev1.PodRunning)
		w.is("b", corev1.PodRunning)
		w.isOutOf("a", outOfAddress)
		if r := w.rejected[0]; !r.Again {
			t.Error("it is not told that the pod ran")
		}
		pause(teardown)
		if got := len(w.machine.Addresses()); got != 2 {
			t.Errorf("there are %d sandboxes, want 2", got)
		}
	})
}

// TestRestartIsNoEnd: what ran goes on, and what ended meanwhile is told after it.
func TestRestartIsNoEnd(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		w.bind("job", annotations(CompleteAfterAnnotation, "20s"))
		w.bind("goes")
		before := w.machine.Addresses()
		w.stop()
		<-w.over
		pause(time.Minute)
		w.is("job", corev1.PodRunning)
		w.remove("goes", apiserver.Force())
		if got := len(w.machine.Addresses()); got != len(before) {
			t.Errorf("%d sandboxes are left, want %d", got, len(before))
		}
		w.start(false)
		w.is("job", corev1.PodSucceeded)
		pause(teardown)
		if got := len(w.machine.Addresses()); got != 0 {
			t.Errorf("there are %d sandboxes, want none", got)
		}
	})
}

// TestRestartCountsWhatEnds: a pod that is known to have ended counts after a restart, too,
// as long as its sandbox is there.
func TestRestartCountsWhatEnds(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		w.bind("job", annotations(CompleteAfterAnnotation, "1s", TeardownAnnotation, "10s"))
		pause(time.Second)
		w.is("job", corev1.PodSucceeded)
		w.stop()
		<-w.over
		w.start(false)
		w.bind("early")
		w.isOutOf("early", outOfAddress)
		pause(10 * time.Second)
		w.bind("late")
		w.is("late", corev1.PodRunning)
	})
}

// TestMachineMadeAnew sets what others advertise to zero, which keeps pods out; one that has
// never advertised anything lets them in.
func TestMachineMadeAnew(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		w.stop()
		<-w.over
		w.start(true)
		n := w.node()
		for _, list := range []corev1.ResourceList{n.Status.Capacity, n.Status.Allocatable} {
			if got := list[resourceName]; got.Value() != 0 {
				t.Errorf("it has %s", got.String())
			}
		}
		if got := n.Status.Allocatable["pods"]; got.Value() != 5 {
			t.Errorf("it takes %s pods, want 5", got.String())
		}
		w.bind("p")
		w.isOutOf("p", outOfAddress)
		w.changeNode(func(n *corev1.Node) {
			delete(n.Status.Capacity, resourceName)
			delete(n.Status.Allocatable, resourceName)
		})
		pause(nodeLag)
		w.bind("q")
		w.is("q", corev1.PodRunning)
	})
}

// TestGoesOnWithoutItsNode: a kubelet whose Node is deleted admits by the one that it knew,
// and makes a new one only when it starts again.
func TestGoesOnWithoutItsNode(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		if err := w.server.Nodes().Delete(types.NamespacedName{Name: node}, apiserver.Deletion{}); err != nil {
			t.Fatal(err)
		}
		pause(nodeLag)
		w.bind("p")
		w.bind("q")
		w.is("p", corev1.PodRunning)
		w.isOutOf("q", outOfAddress)
		w.stop()
		<-w.over
		w.start(false)
		if _, offered := w.node().Status.Allocatable[resourceName]; offered {
			t.Error("the new Node offers addresses")
		}
	})
}
