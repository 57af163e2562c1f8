package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/test/controlplane"
	"slotwise.dev/slotwise/test/testenv"
)

const (
	// crowding is how many pods without a priority want to be on the nodes of the full
	// group, and crowdingMore how many for each node: its two prefixes have room for 32,
	// and a node's slots for 11.
	crowding     = 20
	crowdingMore = 9
	// census is between two looks at who is gone.
	census = time.Second
	// Pods that preempt come in waves of so many a node of the group, one shortly after
	// the other. Between waves there is time for what they had to cool down (30 s) and to
	// go to pods without a priority again: of pods that come one by one each gets what
	// another one had, and nobody has to go.
	waveOf   = 4
	arrivals = 300 * time.Millisecond
	calm     = 80 * time.Second
	// rollOuts is between two replacements of the agent of a node.
	rollOuts = 12 * time.Second
	// filling is how long the nodes are given to be full before the first wave.
	filling = 8 * time.Second
	// stay is for how long a pod that preempts stays at the most, since it was created:
	// its victim takes up to 10 s to stop, and what that had 30 s to cool down.
	stay = time.Minute
)

// crowd keeps the nodes of the full group full, and has pods come that preempt there.
type crowd struct {
	*chaos
	nodes []string
	users []string // by name: those without a priority
	made  int
}

// run goes on until ctx ends.
func (w *crowd) run(ctx context.Context) {
	w.nodes = w.fullNodes()
	if len(w.nodes) == 0 {
		return
	}
	var all errgroup.Group
	all.Go(func() error { w.fill(ctx, w.random(20)); return nil })
	all.Go(func() error { w.preempt(ctx, w.random(21)); return nil })
	for i, node := range w.nodes {
		all.Go(func() error { w.rollOut(ctx, node, w.random(30+uint64(i))); return nil })
	}
	_ = all.Wait() // none returns an error
}

// fill has as many pods without a priority there as there are to be: for each that
// goes, whyever, another one comes, as of a ReplicaSet.
func (w *crowd) fill(ctx context.Context, r *rand.Rand) {
	for ; ctx.Err() == nil; sleep(ctx, census) {
		there := map[string]bool{}
		w.insist(ctx, func(ctx context.Context) error {
			var pods corev1.PodList
			if err := w.Kube.List(ctx, &pods, client.InNamespace(namespace), client.MatchingLabels{crowdLabel: "user"}); err != nil {
				return err
			}
			for i := range pods.Items {
				p := &pods.Items[i]
				there[p.Name] = p.DeletionTimestamp == nil && p.Status.Phase != corev1.PodFailed
			}
			return nil
		})
		kept := w.users[:0]
		for _, name := range w.users {
			if there[name] {
				kept = append(kept, name)
			}
		}
		w.users = kept
		for len(w.users) < crowding+crowdingMore*len(w.nodes) && ctx.Err() == nil {
			p := w.user(r)
			w.users = append(w.users, p.Name)
			w.create(ctx, p)
		}
	}
}

// crowdLabel tells what a pod is to the crowd.
const crowdLabel = "chaos-crowd"

// user makes a pod without a priority, which takes up to 10 s to stop.
func (w *crowd) user(r *rand.Rand) *corev1.Pod {
	w.made++
	p := testenv.Pod(namespace, fmt.Sprintf("user-%d", w.made))
	testenv.OnGroup(full)(p)
	p.Spec.SchedulerName = ours
	p.Labels = map[string]string{crowdLabel: "user"}
	if r.IntN(3) == 0 {
		p.Labels[protected] = "true"
	}
	stopWithin(p, r, 10*time.Second)
	return p
}

// stopWithin has half of the pods take some time to stop once they are deleted.
func stopWithin(p *corev1.Pod, r *rand.Rand, most time.Duration) {
	if r.IntN(2) == 0 {
		annotate(p, controlplane.StopAfterAnnotation, between(r, 0, most).String())
	}
}

func annotate(p *corev1.Pod, key, value string) {
	if p.Annotations == nil {
		p.Annotations = map[string]string{}
	}
	p.Annotations[key] = value
}

// preempt has pods with a priority come in waves, and go again after a while.
func (w *crowd) preempt(ctx context.Context, r *rand.Rand) {
	var staying errgroup.Group
	sleep(ctx, filling)
	for n := 0; ctx.Err() == nil; sleep(ctx, between(r, 4*calm/5, 6*calm/5)) {
		for range waveOf * len(w.nodes) {
			sleep(ctx, between(r, 0, 2*arrivals))
			p := w.urgent(r, fmt.Sprintf("urgent-%d", n))
			n++
			w.did("pods with a priority created for the full group")
			d := between(r, stay/10, stay) // some go before they have had anything of it
			staying.Go(func() error {
				w.create(ctx, p)
				sleep(ctx, d)
				w.delete(ctx, p.Name, client.GracePeriodSeconds(0))
				return nil
			})
		}
	}
	_ = staying.Wait() // none returns an error
}

// urgent makes a pod with a priority. Few go past the extender.
func (w *crowd) urgent(r *rand.Rand, name string) *corev1.Pod {
	p := testenv.Pod(namespace, name)
	testenv.OnGroup(full)(p)
	p.Labels = map[string]string{crowdLabel: "urgent"}
	p.Spec.PriorityClassName = middle
	if r.IntN(3) == 0 {
		p.Spec.PriorityClassName = high
	}
	p.Spec.SchedulerName = ours
	switch r.IntN(10) {
	case 0:
		p.Spec.SchedulerName = plain
	case 1, 2, 3:
		testenv.OnNode(w.nodes[r.IntN(len(w.nodes))])(p)
	}
	stopWithin(p, r, 3*time.Second)
	return p
}

// rollOut replaces the agent on a node, again and again, as the controller of a
// DaemonSet does: the new one is made once the old one has gone.
func (w *crowd) rollOut(ctx context.Context, node string, r *rand.Rand) {
	for n := 0; ctx.Err() == nil; n++ {
		p := testenv.Pod(namespace, fmt.Sprintf("agent-%s-%d", node, n))
		p.Labels = map[string]string{crowdLabel: "agent"}
		p.Spec.SchedulerName = ours
		isAgentOf(p, node)
		stopWithin(p, r, 3*time.Second)
		w.did("agents rolled out")
		w.create(ctx, p)
		sleep(ctx, between(r, rollOuts/2, 3*rollOuts/2))
		w.delete(ctx, p.Name)
		w.insist(ctx, func(ctx context.Context) error {
			err := w.Kube.Get(ctx, types.NamespacedName{Namespace: namespace, Name: p.Name}, &corev1.Pod{})
			if err == nil {
				return fmt.Errorf("%s is still there", p.Name)
			}
			if !apierrors.IsNotFound(err) {
				return err
			}
			return nil
		})
	}
}
