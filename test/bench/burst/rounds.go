package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"

	"slotwise.dev/slotwise/test/bench/usage"
	"slotwise.dev/slotwise/test/controlplane"
	"slotwise.dev/slotwise/test/ec2sim"
	"slotwise.dev/slotwise/test/revision"
	"slotwise.dev/slotwise/test/testenv"
	"slotwise.dev/slotwise/test/witness"
)

// warmUp is how many pods of either kind go before the first round, so that no
// round pays for first connections and empty caches.
const warmUp = 50

// maxPods is that of the nodes: as many as their addresses, which alone are to be
// short.
const maxPods = 250

// bench is the cluster on which the rounds run.
type bench struct {
	*testenv.Env
	options
	began     time.Time
	stopwatch *stopwatch
	witness   *witness.Witness
	enis      []string // of the Windows nodes
	rounds    int      // so far
}

func run(ctx context.Context, o options) (err error) {
	b := &bench{options: o, began: time.Now()}
	b.Env, err = testenv.Start(ctx, testenv.Options{
		EC2:      ec2sim.Options{Latency: map[string]ec2sim.Latency{ec2sim.AnyAction: {Mean: o.latency, Jitter: o.jitter}}},
		Progress: b.say,
	})
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = b.Fail(err)
		} else {
			err = b.Stop()
		}
	}()
	if err := b.prepare(ctx); err != nil {
		return err
	}
	var slotwise, alone []figures
	for i := range o.rounds {
		b.say(fmt.Sprintf("round %d of %d", i+1, o.rounds))
		if err := b.round(ctx, plain, o.pods, &alone); err != nil {
			return err
		}
		if err := b.round(ctx, windows, o.pods, &slotwise); err != nil {
			return err
		}
	}
	report(os.Stdout, o, slotwise, alone)
	return b.verdict(slotwise)
}

// prepare adds the nodes, in prefix mode with their pools warm, and sends a few
// pods ahead.
func (b *bench) prepare(ctx context.Context) error {
	b.say(fmt.Sprintf("%d Windows and %d Linux nodes join", b.nodes, b.nodes))
	if err := b.PrefixMode(ctx, true); err != nil {
		return err
	}
	clock := &revision.Clock{}
	go clock.Run(ctx, b.Client)
	b.witness = witness.New(clock, b.EC2, corev1.DefaultSchedulerName)
	b.Inform(b.witness)
	if err := b.addNodes(ctx); err != nil {
		return err
	}
	b.stopwatch = startStopwatch(ctx, b.Client, b.witness)
	if err := b.settle(ctx); err != nil {
		return err
	}
	b.say("a few pods go ahead")
	var discarded []figures
	if err := b.round(ctx, plain, warmUp, &discarded); err != nil {
		return err
	}
	return b.round(ctx, windows, warmUp, &discarded)
}

func (b *bench) addNodes(ctx context.Context) error {
	b.enis = make([]string, b.nodes)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i := range b.nodes {
		group.Go(func() (err error) {
			b.enis[i], err = b.AddNode(ctx, "win-"+strconv.Itoa(i), b.instanceType, testenv.Subnet, testenv.MaxPods(maxPods))
			return err
		})
		group.Go(func() error {
			_, err := b.Cluster.AddNode(ctx, controlplane.Node{Name: "linux-" + strconv.Itoa(i), InstanceType: b.instanceType})
			return err
		})
	}
	return group.Wait()
}

// windows leaves a pod as it is; plain makes it one that neither the webhook nor
// the extender is asked about, for as many nodes.
func windows(*corev1.Pod) {}

func plain(p *corev1.Pod) { p.Spec.NodeSelector[corev1.LabelOSStable] = string(corev1.Linux) }

// unstarted keeps the kubelets out of the figures: in a cluster they have
// machines of their own. Pods of a round end before they start.
func unstarted(p *corev1.Pod) {
	p.Annotations = map[string]string{controlplane.StartAfterAnnotation: time.Hour.String()}
}

// round measures one burst, and leaves the cluster as it was before.
func (b *bench) round(ctx context.Context, kind func(*corev1.Pod), pods int, into *[]figures) error {
	namespace := "burst-" + strconv.Itoa(b.rounds)
	b.rounds++
	if err := b.CreateNamespace(ctx, namespace); err != nil {
		return err
	}
	f, err := b.burst(ctx, kind, namespace, pods)
	if err != nil {
		return err
	}
	*into = append(*into, f)
	if err := b.DeletePods(ctx, namespace, "pod", pods); err != nil {
		return err
	}
	return b.settle(ctx)
}

// burst creates pods as fast as it can and measures what becomes of them.
func (b *bench) burst(ctx context.Context, kind func(*corev1.Pod), namespace string, pods int) (figures, error) {
	before, err := usage.Look(b.Dir)
	if err != nil {
		return figures{}, err
	}
	b.EC2.ResetCalls()
	began := time.Now()
	if err := b.create(ctx, kind, namespace, pods); err != nil {
		return figures{}, err
	}
	err = b.Until(ctx, fmt.Sprintf("%d pods are bound", pods), func(context.Context) error {
		if bound := len(b.stopwatch.bound(namespace)); bound != pods {
			return fmt.Errorf("%d are", bound)
		}
		return nil
	})
	if err != nil {
		return figures{}, err
	}
	if err := b.quiet(ctx); err != nil {
		return figures{}, err
	}
	after, err := usage.Look(b.Dir)
	if err != nil {
		return figures{}, err
	}
	f := summarize(began, b.stopwatch.bound(namespace))
	f.spent = after.Minus(before)
	if _, f.peak, err = usage.Memory(b.Slotwise.PID()); err != nil {
		return figures{}, err
	}
	f.count(b.EC2.Calls(), began.Add(f.elapsed))
	return f, nil
}

// create creates many pods side by side, so that not the client sets the pace.
func (b *bench) create(ctx context.Context, kind func(*corev1.Pod), namespace string, pods int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(b.creators)
	for i := range pods {
		p := testenv.Pod(namespace, "pod-"+strconv.Itoa(i))
		kind(p)
		unstarted(p)
		group.Go(func() error { return b.Kube.Create(ctx, p) })
	}
	return group.Wait()
}

// silence is longer than Slotwise puts off what no pod waits for.
const silence = 6 * time.Second

// quiet waits until EC2 has had no call for some time.
func (b *bench) quiet(ctx context.Context) error {
	since := time.Now()
	return b.Until(ctx, "EC2 has had no call for "+silence.String(), func(context.Context) error {
		last := since
		for _, c := range b.EC2.Calls() {
			if c.Start.After(last) {
				last = c.Start
			}
		}
		if past := time.Since(last); past < silence {
			return fmt.Errorf("the last came %s ago", past)
		}
		return nil
	})
}

// settle waits until the addresses of earlier pods have cooled down, and each
// node has but the one prefix of its warm pool.
func (b *bench) settle(ctx context.Context) error {
	return b.Until(ctx, "each node has one prefix", func(context.Context) error {
		for _, id := range b.enis {
			if eni, _ := b.EC2.Interface(id); len(eni.Prefixes) != 1 || len(eni.Addresses) != 0 {
				return fmt.Errorf("%s has %d prefixes and %d addresses", id, len(eni.Prefixes), len(eni.Addresses))
			}
		}
		return nil
	})
}

// verdict says what must not have happened.
func (b *bench) verdict(rounds []figures) error {
	for _, f := range rounds {
		if f.bare > 0 || f.failed > 0 {
			return fmt.Errorf("%d pods were bound without their address, %d EC2 calls failed", f.bare, f.failed)
		}
	}
	var broken error
	for _, v := range b.witness.Violations() {
		if v.Broken() {
			broken = errors.Join(broken, errors.New(b.witness.History(v, b.began)))
		}
	}
	return errors.Join(broken, b.EC2.Check())
}

func (b *bench) say(what string) {
	fmt.Fprintf(os.Stderr, "%4.0fs %s\n", time.Since(b.began).Seconds(), what)
}
