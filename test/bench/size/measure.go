package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"slotwise.dev/slotwise/allocator/vpc"
	"slotwise.dev/slotwise/test/bench/usage"
	"slotwise.dev/slotwise/test/controlplane"
	"slotwise.dev/slotwise/test/ec2sim"
	"slotwise.dev/slotwise/test/testenv"
)

// row is what was measured with one number of nodes.
type row struct {
	nodes    int
	slotwise bool

	ready        time.Duration // from the installation of Slotwise until the last node shows its capacity
	peak, memory uint64        // of Slotwise: at the most until the burst, and after it, in bytes

	elapsed time.Duration   // from the first request to create a pod until the last is bound
	bound   []time.Duration // created -> bound, in order
	spent   usage.CPU
	writes  map[string]int // of all clients, by resource, with the creation of the pods
	calls   int            // to EC2
}

const (
	// settling is how long the cluster is left alone before the burst.
	settling = 10 * time.Second
	// patience is how long a burst may take, and Slotwise until it is ready.
	patience = 5 * time.Minute
	creators = 64
)

// alone measures kube-scheduler as it comes.
func alone(ctx context.Context, o options, nodes int) (_ row, err error) {
	o.say("%d nodes, the scheduler alone", nodes)
	c, err := controlplane.Start(ctx, controlplane.Options{})
	if err != nil {
		return row{}, err
	}
	defer func() { err = errOf(err, c.Stop()) }()
	if err := o.preload(ctx, c, nil, nodes); err != nil {
		return row{}, err
	}
	if _, err := c.StartScheduler(ctx, controlplane.Scheduler{}); err != nil {
		return row{}, err
	}
	r := row{nodes: nodes}
	return r, r.burst(ctx, o, c)
}

// withSlotwise measures kube-scheduler with Slotwise.
func withSlotwise(ctx context.Context, o options, nodes int) (_ row, err error) {
	o.say("%d nodes, with Slotwise", nodes)
	r := row{nodes: nodes, slotwise: true}
	var installed time.Time
	e, err := testenv.Start(ctx, testenv.Options{
		EC2: ec2sim.Options{Latency: map[string]ec2sim.Latency{ec2sim.AnyAction: {Mean: o.latency}}},
		// One address at hand is what each node has: warm pools of thousands of nodes would
		// keep EC2 busy for an hour.
		Settings: map[string]string{"enable-windows-prefix-delegation": "true", "warm-ip-target": "1", "minimum-ip-target": "1"},
		Before: func(ctx context.Context, e *testenv.Env) error {
			err := o.preload(ctx, e.Cluster, e.EC2, nodes)
			installed = time.Now()
			return err
		},
	})
	if err != nil {
		return row{}, err
	}
	defer func() { err = errOf(err, e.Stop()) }()
	if err := o.awaitReady(ctx, e.Client, nodes); err != nil {
		return row{}, e.Fail(err)
	}
	r.ready = time.Since(installed)
	o.say("all nodes show their capacity after %s", r.ready.Round(100*time.Millisecond))
	if _, r.peak, err = usage.Memory(e.Slotwise.PID()); err != nil {
		return row{}, err
	}
	e.EC2.ResetCalls()
	if err := r.burst(ctx, o, e.Cluster); err != nil {
		return row{}, e.Fail(err)
	}
	r.calls = len(e.EC2.Calls())
	r.memory, _, err = usage.Memory(e.Slotwise.PID())
	return r, err
}

func errOf(err, later error) error {
	if err == nil {
		return later
	}
	return err
}

// awaitReady waits until all nodes show how many addresses they have.
func (o options) awaitReady(ctx context.Context, kube kubernetes.Interface, nodes int) error {
	for end := time.Now().Add(patience); ; {
		list, err := kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{ResourceVersion: "0"})
		if err != nil {
			return err
		}
		show := 0
		for i := range list.Items {
			if q := list.Items[i].Status.Allocatable[vpc.Resource]; !q.IsZero() {
				show++
			}
		}
		switch {
		case show == nodes:
			return nil
		case time.Now().After(end):
			return fmt.Errorf("%d of %d nodes show their capacity after %s", show, nodes, patience)
		}
		if err := sleep(ctx, time.Second); err != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// burst creates all pods at once, and measures until the last is bound.
func (r *row) burst(ctx context.Context, o options, c *controlplane.Cluster) error {
	const burst = "burst"
	if err := c.CreateNamespace(ctx, burst); err != nil {
		return err
	}
	if err := sleep(ctx, settling); err != nil {
		return err
	}
	o.say("%d pods are created at once", o.pods)
	before, err := look(ctx, c)
	if err != nil {
		return err
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	shown := watch(watching, c.Client, burst, 4*o.pods)
	began := time.Now()
	group, creating := errgroup.WithContext(ctx)
	group.SetLimit(creators)
	creatingEnds := make(chan struct{})
	go func() {
		defer close(creatingEnds)
		for i := range o.pods {
			group.Go(func() error {
				_, err := c.Client.CoreV1().Pods(burst).Create(creating, testenv.Pod(burst, "pod-"+strconv.Itoa(i)), metav1.CreateOptions{})
				return err
			})
		}
	}()
	if r.bound, err = follow(ctx, shown, o.pods); err != nil {
		return err
	}
	r.elapsed = time.Since(began)
	<-creatingEnds
	if err := group.Wait(); err != nil {
		return err
	}
	after, err := look(ctx, c)
	if err != nil {
		return err
	}
	r.spent, r.writes = after.cpu.Minus(before.cpu), after.writes
	for resource, n := range before.writes {
		r.writes[resource] -= n
	}
	o.say("all are bound after %s", r.elapsed.Round(100*time.Millisecond))
	return nil
}

// watch shows all versions of the pods of a namespace.
func watch(ctx context.Context, kube kubernetes.Interface, namespace string, versions int) <-chan *corev1.Pod {
	shown := make(chan *corev1.Pod, versions)
	show := func(o any) { shown <- o.(*corev1.Pod) }
	i := cache.NewSharedInformer(cache.NewListWatchFromClient(kube.CoreV1().RESTClient(), "pods", namespace, fields.Everything()), &corev1.Pod{}, 0)
	_, _ = i.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: show, UpdateFunc: func(_, o any) { show(o) }}) // it runs not yet
	go i.RunWithContext(ctx)
	cache.WaitForCacheSync(ctx.Done(), i.HasSynced)
	return shown
}

// follow takes the time of each pod from when it is shown until it is shown bound.
func follow(ctx context.Context, shown <-chan *corev1.Pod, pods int) (took []time.Duration, err error) {
	created, bound := map[types.UID]time.Time{}, map[types.UID]bool{}
	end := time.After(patience)
	for len(took) < pods {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-end:
			return nil, fmt.Errorf("%d of %d pods are bound after %s", len(took), pods, patience)
		case p := <-shown:
			if _, known := created[p.UID]; !known {
				created[p.UID] = time.Now()
			}
			if p.Spec.NodeName != "" && !bound[p.UID] {
				bound[p.UID] = true
				took = append(took, time.Since(created[p.UID]))
			}
		}
	}
	slices.Sort(took)
	return took, nil
}

// looked is what is read before and after a burst.
type looked struct {
	cpu    usage.CPU
	writes map[string]int // by resource
}

func look(ctx context.Context, c *controlplane.Cluster) (l looked, err error) {
	if l.cpu, err = usage.Look(c.Dir); err != nil {
		return looked{}, err
	}
	text, err := c.Client.CoreV1().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return looked{}, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return looked{}, err
	}
	l.writes = map[string]int{}
	for _, m := range families["apiserver_request_total"].GetMetric() {
		labels := map[string]string{}
		for _, label := range m.GetLabel() {
			labels[label.GetName()] = label.GetValue()
		}
		if slices.Contains([]string{"POST", "PUT", "PATCH", "DELETE", "APPLY"}, labels["verb"]) {
			l.writes[labels["resource"]] += int(m.GetCounter().GetValue())
		}
	}
	return l, nil
}
