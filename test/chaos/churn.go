package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/test/controlplane"
	"slotwise.dev/slotwise/test/testenv"
)

const (
	// perNode is how many pods there are for each node, on average. There is room
	// for about twice as many in secondary IP mode, but not in every subnet.
	perNode = 4
	// turnover is how often a pod of a node goes and another comes, a second.
	turnover = 1.0 / 15
	// step is between two looks at how many pods there are.
	step = 100 * time.Millisecond
	// concurrency is how many requests there are at once.
	concurrency = 16
	// requestTimeout is how long a request may take: the API server may be away.
	requestTimeout = 5 * time.Second
)

// churn has pods come and go.
type churn struct {
	*chaos
	random *rand.Rand
	made   int
	pods   []string // by name: those that are to be there
}

// run keeps about as many pods as wanted, and always replaces some, until ctx
// ends.
func (u *churn) run(ctx context.Context) {
	var requests errgroup.Group
	requests.SetLimit(concurrency)
	wanted := 0
	for n := 0; sleep(ctx, step); n++ {
		if n%100 == 0 { // every ten seconds: a tide
			wanted = u.nodes * perNode * (50 + u.random.IntN(100)) / 100
		}
		for _, act := range u.acts(wanted) {
			requests.Go(func() error {
				act(ctx)
				return nil
			})
		}
	}
	_ = requests.Wait() // none returns an error
}

// acts are what is to be done in one step: what is missing comes a few at a time,
// what is too much goes, and there is always some turnover.
func (u *churn) acts(wanted int) (acts []func(context.Context)) {
	missing := wanted - len(u.pods)
	turn := u.random.Float64() < turnover*float64(u.nodes)*step.Seconds()
	if turn || missing < 0 {
		acts = append(acts, u.removal()...)
	}
	if turn {
		missing = max(missing, 1)
	}
	for range min(3, missing) {
		p := u.newPod()
		u.pods = append(u.pods, p.Name)
		acts = append(acts, func(ctx context.Context) { u.create(ctx, p) })
	}
	return acts
}

// newPod makes one of the kinds of pods that there are.
func (u *churn) newPod() *corev1.Pod {
	u.made++
	p := testenv.Pod(namespace, fmt.Sprintf("pod-%d", u.made))
	p.Annotations = map[string]string{}
	p.Spec.SchedulerName = ours
	switch n := u.random.IntN(100); {
	case n < 30: // wherever there is room
	case n < 50:
		testenv.OnGroup(tight)(p)
	case n < 65:
		testenv.OnGroup(busy)(p)
	case n < 80: // of a job
		p.Annotations[controlplane.CompleteAfterAnnotation] = fmt.Sprintf("%dms", 200+u.random.IntN(10_000))
	case n < 90:
		p.Spec.SchedulerName = plain
	default: // of a DaemonSet, say
		p.Spec.SchedulerName = byHand
		p.Spec.NodeName = nodeName(u.random.IntN(u.nodes))
	}
	switch u.random.IntN(20) {
	case 0:
		p.Spec.PriorityClassName = middle
	case 1:
		p.Spec.PriorityClassName = high
	case 2, 3, 4:
		p.Labels = map[string]string{protected: "true"}
	}
	if u.random.IntN(3) == 0 {
		p.Annotations[controlplane.StopAfterAnnotation] = fmt.Sprintf("%dms", u.random.IntN(4000))
	}
	return p
}

// removal has a pod go, in one of the ways that there are.
func (u *churn) removal() []func(context.Context) {
	if len(u.pods) == 0 {
		return nil
	}
	i := u.random.IntN(len(u.pods))
	name := u.pods[i]
	var now []client.DeleteOption // else with the pod's own grace period
	if u.random.IntN(2) == 0 {
		now = append(now, client.GracePeriodSeconds(0))
	}
	if u.random.IntN(4) == 0 { // to come back at once under the same name, as of a StatefulSet
		next := u.newPod()
		next.Name = name
		return []func(context.Context){func(ctx context.Context) {
			u.delete(ctx, name, now...)
			u.create(ctx, next)
		}}
	}
	u.pods = slices.Delete(u.pods, i, i+1)
	return []func(context.Context){func(ctx context.Context) { u.delete(ctx, name, now...) }}
}

// create creates a pod, again and again while it cannot be, as a controller does.
func (c *chaos) create(ctx context.Context, p *corev1.Pod) {
	c.insist(ctx, func(ctx context.Context) error {
		// Where it is still about to go, there is one pod less.
		return client.IgnoreAlreadyExists(c.Kube.Create(ctx, p.DeepCopy()))
	})
}

func (c *chaos) delete(ctx context.Context, name string, how ...client.DeleteOption) {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	c.insist(ctx, func(ctx context.Context) error {
		return client.IgnoreNotFound(c.Kube.Delete(ctx, p, how...))
	})
}

// insist asks the API server until it answers.
func (c *chaos) insist(ctx context.Context, ask func(context.Context) error) {
	_ = wait.PollUntilContextCancel(ctx, 500*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, requestTimeout)
		defer cancel()
		return ask(ctx) == nil, nil
	}) // only the end of ctx ends it
}

// deleteAll deletes all pods at once.
func (c *chaos) deleteAll(ctx context.Context) {
	c.insist(ctx, func(ctx context.Context) error {
		return c.Kube.DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace(namespace), client.GracePeriodSeconds(0))
	})
}
