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

// contest is what happens in a group of nodes that pods without priority fill: pods
// come that may preempt them.
type contest struct {
	kind       string        // instance type; default: the smallest of the mode
	nodes      int           // default: 1
	preemptors int           // default: 1
	stop       time.Duration // how long a victim takes to end
	plain      bool          // by a scheduler without the extender
	// also does what is to be done once the nodes are full, and changes the preemptors.
	also func(s *system, t *testing.T, namespace string, nodes []string) (edit func(*corev1.Pod))
	// fair looks at who had to go, where their number is not all.
	fair func(t *testing.T, nodes []string, victims []*corev1.Pod)
}

// contests have, in each mode, as many victims as there are preemptors.
var contests = map[string]contest{
	"ends at once":                                   {},
	"takes 10 s to end":                              {stop: 10 * time.Second},
	"takes 30 s to end":                              {stop: 30 * time.Second},
	"one preemptor, three nodes":                     {nodes: 3},
	"two preemptors, one node":                       {preemptors: 2},
	"three preemptors, three nodes, take 5 s to end": {preemptors: 3, nodes: 3, stop: 5 * time.Second},
	"without the extender":                           {plain: true, stop: 2 * time.Second},
	"by hostname":                                    {nodes: 2, stop: 2 * time.Second, also: toTheLast, fair: onTheLast},
	"disruption budget":                              {nodes: 2, also: protect, fair: unprotected},
}

// modes are the two modes, with the type of node that is full first.
var modes = map[string]struct {
	settings map[string]string
	smallest string
	perNode  int // pods that fill it
}{
	"secondary IPs": {smallest: "t3.small", perNode: 3},
	"prefixes":      {settings: prefixMode, smallest: oneSlot.Name, perNode: 16},
}

// TestOneVictimForEachPreemptor fills nodes with pods without priority and has pods
// with one come, in many ways: each costs one of the others its place, and runs.
func TestOneVictimForEachPreemptor(t *testing.T) {
	t.Parallel()
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startWithPriorities(t, testenv.Options{Settings: mode.settings})
			check.Must(t, check.ErrorOf(s.Cluster.StartScheduler(t.Context(), controlplane.Scheduler{Name: plainScheduler, Config: []byte(plainConfig)})))
			for name, c := range contests {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					if c.kind == "" {
						c.kind = mode.smallest
					}
					s.contest(t, c, mode.perNode)
				})
			}
			if mode.settings == nil {
				t.Run("three nodes of 14", func(t *testing.T) {
					t.Parallel()
					s.contest(t, contest{kind: "t3.xlarge", nodes: 3}, 14)
				})
			}
			t.Run("an agent is rolled out", func(t *testing.T) {
				t.Parallel()
				s.rollOut(t, mode.smallest, mode.perNode)
			})
		})
	}
}

// startWithPriorities starts a system with a class of pods that may preempt.
func startWithPriorities(t *testing.T, o testenv.Options) *system {
	t.Helper()
	s := start(t, o)
	check.Must(t, s.Kube.Create(t.Context(), &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: "urgent"}, Value: 1000}))
	return s
}

// contest fills nodes, has the preemptors come, and counts the victims once all of
// them run.
func (s *system) contest(t *testing.T, c contest, perNode int) {
	t.Helper()
	c.nodes, c.preemptors = max(1, c.nodes), max(1, c.preemptors)
	namespace := s.NewNamespace(t)
	nodes := s.nodes(t, namespace, c.nodes, c.kind, testenv.Subnet)
	users := c.nodes * perNode
	check.Must(t, s.CreatePods(t.Context(), namespace, "user", users, testenv.OnGroup(namespace), stopAfter(c.stop)))
	check.Must(t, s.AwaitRunning(t.Context(), namespace, users))
	edits := []func(*corev1.Pod){urgent, testenv.OnGroup(namespace)}
	if c.plain {
		edits = append(edits, testenv.Scheduler(plainScheduler))
	}
	if c.also != nil {
		edits = append(edits, c.also(s, t, namespace, nodes))
	}
	before := s.list(t, namespace)

	check.Must(t, s.CreatePods(t.Context(), namespace, "urgent", c.preemptors, edits...))
	began := time.Now()
	s.awaitNamed(t, namespace, "urgent", c.preemptors)
	t.Logf("the preemptors ran after %s", time.Since(began).Round(time.Second))
	victims := s.victims(t, before)
	if len(victims) != c.preemptors {
		t.Errorf("%d of %d pods had to go for %d, want one for each: %s", len(victims), users, c.preemptors, names(victims))
	}
	if c.fair != nil {
		c.fair(t, nodes, victims)
	}
}

// rollOut replaces the agent on each of two full nodes as a DaemonSet does. The old
// agent's address serves the new one, though others have waited for one for longer.
func (s *system) rollOut(t *testing.T, kind string, perNode int) {
	t.Helper()
	namespace := s.NewNamespace(t)
	nodes := s.nodes(t, namespace, 2, kind, testenv.Subnet)
	for _, node := range nodes {
		check.Must(t, s.CreatePods(t.Context(), namespace, "old-"+node, 1, agentOf(node)))
	}
	check.Must(t, s.AwaitRunning(t.Context(), namespace, 2))
	users := 2 * (perNode - 1)
	check.Must(t, s.CreatePods(t.Context(), namespace, "user", users, testenv.OnGroup(namespace)))
	check.Must(t, s.AwaitRunning(t.Context(), namespace, 2*perNode))
	const waiting = 4
	check.Must(t, s.CreatePods(t.Context(), namespace, "waits", waiting, testenv.OnGroup(namespace)))
	check.Must(t, check.ErrorOf(s.AwaitTurnedAway(t.Context(), namespace, waiting)))
	before := s.list(t, namespace, "user")

	for _, node := range nodes {
		check.Must(t, s.DeletePods(t.Context(), namespace, "old-"+node, 1))
		check.Must(t, s.CreatePods(t.Context(), namespace, "new-"+node, 1, agentOf(node)))
	}
	for _, node := range nodes {
		s.awaitNamed(t, namespace, "new-"+node, 1)
	}
	if victims := s.victims(t, before); len(victims) > 0 {
		t.Errorf("%d of %d pods had to go for agents that needed nobody's place: %s", len(victims), users, names(victims))
	}
	for _, p := range s.list(t, namespace, "waits") {
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

// toTheLast has the preemptors want the last of the nodes.
func toTheLast(_ *system, _ *testing.T, _ string, nodes []string) func(*corev1.Pod) {
	return testenv.OnNode(nodes[len(nodes)-1])
}

func onTheLast(t *testing.T, nodes []string, victims []*corev1.Pod) {
	t.Helper()
	for _, v := range victims {
		if v.Spec.NodeName != nodes[len(nodes)-1] {
			t.Errorf("%s on %s had to go for a pod that can only be on %s", v.Name, v.Spec.NodeName, nodes[len(nodes)-1])
		}
	}
}

const protected = "protected"

// protect makes a disruption budget that allows none, of all pods but one.
func protect(s *system, t *testing.T, namespace string, _ []string) func(*corev1.Pod) {
	t.Helper()
	for i, p := range s.list(t, namespace) {
		if i == 0 {
			continue
		}
		patch := client.MergeFrom(p.DeepCopy())
		p.Labels = map[string]string{protected: "true"}
		check.Must(t, s.Kube.Patch(t.Context(), p, patch))
	}
	budget := &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: protected},
		Spec:       policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{protected: "true"}}},
	}
	check.Must(t, s.Kube.Create(t.Context(), budget)) // without its controller it allows nothing
	time.Sleep(time.Second)                           // the scheduler is to have seen it
	return func(*corev1.Pod) {}
}

func unprotected(t *testing.T, _ []string, victims []*corev1.Pod) {
	t.Helper()
	for _, v := range victims {
		if v.Labels[protected] != "" {
			t.Errorf("%s had to go, which a disruption budget protects, while another is free to", v.Name)
		}
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
func (s *system) list(t *testing.T, namespace string, prefixes ...string) (all []*corev1.Pod) {
	t.Helper()
	var pods corev1.PodList
	check.Must(t, s.Kube.List(t.Context(), &pods, client.InNamespace(namespace)))
	for i := range pods.Items {
		p := &pods.Items[i]
		if len(prefixes) == 0 || slices.ContainsFunc(prefixes, func(x string) bool { return strings.HasPrefix(p.Name, x+"-") }) {
			all = append(all, p)
		}
	}
	return all
}

// victims are those of some pods that are gone, or are to go.
func (s *system) victims(t *testing.T, before []*corev1.Pod) (gone []*corev1.Pod) {
	t.Helper()
	for _, p := range before {
		var now corev1.Pod
		err := s.Kube.Get(t.Context(), client.ObjectKeyFromObject(p), &now)
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
func (s *system) awaitNamed(t *testing.T, namespace, name string, n int) {
	t.Helper()
	if err := s.namedRun(t, namespace, name, n); err != nil {
		t.Error(err) // who had to go for it is worth knowing all the more
	}
}

// namedRun is awaitNamed, with an error where they do not.
func (s *system) namedRun(t *testing.T, namespace, name string, n int) error {
	t.Helper()
	return s.Until(t.Context(), fmt.Sprintf("%d pods %s run in %s", n, name, namespace), func(context.Context) error {
		running, says := 0, ""
		for _, p := range s.list(t, namespace, name) {
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
