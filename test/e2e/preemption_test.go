package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/controlplane"
	"slotwise.dev/slotwise/test/testenv"
)

// contest is what happens in a group of full nodes when pods come that may preempt
// those that fill them.
type contest struct {
	nodes      int           // default: 1
	preemptors int           // default: 1
	stop       time.Duration // how long a victim takes to end
	plain      bool          // by a scheduler without the extender
	onLast     bool          // the preemptors want the last of the nodes
	budget     bool          // protects all pods but the first
}

// contests have as many victims as there are preemptors.
var contests = map[string]contest{
	"ends at once": {},
	"three preemptors, three nodes, take 5 s to end": {preemptors: 3, nodes: 3, stop: 5 * time.Second},
	"without the extender":                           {plain: true, stop: 2 * time.Second},
	"by hostname":                                    {nodes: 2, stop: 2 * time.Second, onLast: true},
	"disruption budget":                              {nodes: 2, budget: true},
}

// perNode are the pods that fill a node of one slot.
const perNode = 16

// TestOneVictimForEachPreemptor fills nodes with pods without priority and has pods
// with one come, in some ways: each costs one of the others its place, and runs.
func TestOneVictimForEachPreemptor(t *testing.T) {
	t.Parallel()
	e := shared(t)
	for name, c := range contests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.nodes, c.preemptors = max(1, c.nodes), max(1, c.preemptors)
			e.contest(t, c)
		})
	}
	t.Run("an agent is rolled out", func(t *testing.T) {
		t.Parallel()
		e.rollOut(t)
	})
}

// addPriorities makes a class of pods that may preempt.
func (e *env) addPriorities(ctx context.Context) error {
	return e.Kube.Create(ctx, &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: "urgent"}, Value: 1000})
}

// contest fills nodes, has the preemptors come, and counts the victims once all of
// them run.
func (e *env) contest(t *testing.T, c contest) {
	t.Helper()
	namespace := e.NewNamespace(t)
	nodes := e.nodes(t, namespace, c.nodes, oneSlot.Name, testenv.Subnet)
	last := nodes[len(nodes)-1]
	filling := []func(*corev1.Pod){testenv.OnGroup(namespace), stopAfter(c.stop)}
	if c.budget {
		e.protect(t, namespace)
		filling = append(filling, protectAllButFirst)
	}
	users := c.nodes * perNode
	check.Must(t, e.CreatePods(t.Context(), namespace, "user", users, filling...))
	check.Must(t, e.AwaitRunning(t.Context(), namespace, users))
	before := e.list(t, namespace)

	coming := []func(*corev1.Pod){urgent, testenv.OnGroup(namespace)}
	if c.plain {
		coming = append(coming, testenv.Scheduler(plainScheduler))
	}
	if c.onLast {
		coming = append(coming, testenv.OnNode(last))
	}
	check.Must(t, e.CreatePods(t.Context(), namespace, "urgent", c.preemptors, coming...))
	began := time.Now()
	e.awaitNamed(t, namespace, "urgent", c.preemptors)
	t.Logf("the preemptors ran after %s", time.Since(began).Round(time.Second))

	victims := e.victims(t, before)
	if len(victims) != c.preemptors {
		t.Errorf("%d of %d pods had to go for %d, want one for each: %s", len(victims), users, c.preemptors, names(victims))
	}
	for _, v := range victims {
		if c.onLast && v.Spec.NodeName != last {
			t.Errorf("%s on %s had to go for a pod that can only be on %s", v.Name, v.Spec.NodeName, last)
		}
		if c.budget && v.Labels[protected] != "" {
			t.Errorf("%s had to go, which a disruption budget protects, while another is free to", v.Name)
		}
	}
}

// rollOut replaces the agent on each of two full nodes as a DaemonSet does. The old
// agent's address serves the new one, though others have waited for one for longer.
func (e *env) rollOut(t *testing.T) {
	t.Helper()
	namespace := e.NewNamespace(t)
	nodes := e.nodes(t, namespace, 2, oneSlot.Name, testenv.Subnet)
	for _, node := range nodes {
		check.Must(t, e.CreatePods(t.Context(), namespace, "old-"+node, 1, agentOf(node)))
	}
	check.Must(t, e.AwaitRunning(t.Context(), namespace, 2))
	users := 2 * (perNode - 1)
	check.Must(t, e.CreatePods(t.Context(), namespace, "user", users, testenv.OnGroup(namespace)))
	check.Must(t, e.AwaitRunning(t.Context(), namespace, 2*perNode))
	const waiting = 4
	check.Must(t, e.CreatePods(t.Context(), namespace, "waits", waiting, testenv.OnGroup(namespace)))
	check.Must(t, check.ErrorOf(e.AwaitTurnedAway(t.Context(), namespace, waiting)))
	before := e.list(t, namespace, "user")

	for _, node := range nodes {
		check.Must(t, e.DeletePods(t.Context(), namespace, "old-"+node, 1))
		check.Must(t, e.CreatePods(t.Context(), namespace, "new-"+node, 1, agentOf(node)))
	}
	for _, node := range nodes {
		e.awaitNamed(t, namespace, "new-"+node, 1)
	}
	if victims := e.victims(t, before); len(victims) > 0 {
		t.Errorf("%d of %d pods had to go for agents that needed nobody's place: %s", len(victims), users, names(victims))
	}
	for _, p := range e.list(t, namespace, "waits") {
		if p.Spec.NodeName != "" {
			t.Errorf("%s, without priority, got an address before the agents", p.Name)
		}
	}
}

// agentOf makes a pod one of a DaemonSet, as its controller does, that nodes cannot do
// without.
func agentOf(node string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.PriorityClassName = "system-node-critical"
		p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchFields: []corev1.NodeSelectorRequirement{{Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpIn, Values: []string{node}}},
			}}},
		}}
	}
}

// protected is the label of the pods that a disruption budget protects.
const protected = "protected"

// protect makes the budget, which allows no disruption: nobody plays its controller.
func (e *env) protect(t *testing.T, namespace string) {
	t.Helper()
	check.Must(t, e.Kube.Create(t.Context(), &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: protected},
		Spec:       policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{protected: "true"}}},
	}))
}

// protectAllButFirst labels pods for it, all but that with the number 0.
func protectAllButFirst(p *corev1.Pod) {
	if !strings.HasSuffix(p.Name, "-0") {
		p.Labels = map[string]string{protected: "true"}
	}
}

// urgent gives a pod a priority.
func urgent(p *corev1.Pod) { p.Spec.PriorityClassName = "urgent" }

// stopAfter has a pod take its time to end.
func stopAfter(d time.Duration) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Annotations = map[string]string{controlplane.StopAfterAnnotation: d.String()}
	}
}

// list reads the pods of a namespace, those whose names begin with one of the
// prefixes where there are some.
func (e *env) list(t *testing.T, namespace string, prefixes ...string) (all []*corev1.Pod) {
	t.Helper()
	var pods corev1.PodList
	check.Must(t, e.Kube.List(t.Context(), &pods, client.InNamespace(namespace)))
	for i := range pods.Items {
		p := &pods.Items[i]
		if len(prefixes) == 0 || slices.ContainsFunc(prefixes, func(x string) bool { return strings.HasPrefix(p.Name, x+"-") }) {
			all = append(all, p)
		}
	}
	return all
}

// victims are those of some pods that are gone, or are to go.
func (e *env) victims(t *testing.T, before []*corev1.Pod) (gone []*corev1.Pod) {
	t.Helper()
	for _, p := range before {
		var now corev1.Pod
		err := e.Kube.Get(t.Context(), client.ObjectKeyFromObject(p), &now)
		check.Must(t, client.IgnoreNotFound(err))
		if err != nil || now.UID != p.UID || now.DeletionTimestamp != nil {
			gone = append(gone, p)
		}
	}
	return gone
}

// names are those of pods, the first few.
func names(pods []*corev1.Pod) string {
	var all []string
	for _, p := range pods[:min(5, len(pods))] {
		all = append(all, p.Name)
	}
	return strings.Join(all, ", ")
}

// awaitNamed waits until the pods name-0 to name-(n-1) run.
func (e *env) awaitNamed(t *testing.T, namespace, name string, n int) {
	t.Helper()
	if err := e.namedRun(t, namespace, name, n); err != nil {
		t.Error(err) // who had to go for it is worth knowing all the more
	}
}

// namedRun is awaitNamed, with an error where they do not.
func (e *env) namedRun(t *testing.T, namespace, name string, n int) error {
	t.Helper()
	return e.Until(t.Context(), fmt.Sprintf("%d pods %s run in %s", n, name, namespace), func(context.Context) error {
		running, says := 0, ""
		for _, p := range e.list(t, namespace, name) {
			if p.Status.Phase == corev1.PodRunning {
				running++
				continue
			}
			for _, c := range p.Status.Conditions {
				says = p.Name + ": " + c.Message
			}
		}
		if running != n {
			return errors.New(says)
		}
		return nil
	})
}
