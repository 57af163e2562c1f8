package survey

import (
	"context"
	"errors"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/kube"
	"slotwise.dev/slotwise/allocator/pods"
	"slotwise.dev/slotwise/allocator/settings"
	"slotwise.dev/slotwise/allocator/vpc"
)

// Options are what Watch needs.
type Options struct {
	Kube      kubernetes.Interface
	Reader    client.Reader // for NodeSlots
	EC2       *EC2
	ConfigMap types.NamespacedName
	Every     time.Duration // between looks at EC2
}

const (
	// least is the least time between two clusters, and portion the part of a core that
	// making them may take, one in so many: the larger the cluster, the more seldom.
	least   = 200 * time.Millisecond
	portion = 10
	// soon is how long after a Node has joined EC2 is asked about it.
	soon = time.Second
)

// Watch tells of the cluster as it changes, until ctx ends: at once when pods, nodes or
// the ConfigMap change, and as EC2 shows it every o.Every. tell is called by one goroutine
// at a time. It is an error where the caches do not fill.
func Watch(ctx context.Context, o Options, tell func(*Cluster)) error {
	w := &watch{Options: o, wake: make(chan struct{}, 1), look: make(chan struct{}, 1)}
	w.pods = newStore(w.changed)
	if err := w.start(ctx); err != nil {
		return err
	}
	w.since = time.Now()
	var group sync.WaitGroup
	group.Go(func() { w.lookOn(ctx) })
	w.tellOn(ctx, tell)
	group.Wait()
	return nil
}

// watch is a Watch that runs.
type watch struct {
	Options
	wake, look chan struct{}
	pods       *store
	nodes      cache.Store
	configMaps cache.Store
	since      time.Time

	mu      sync.Mutex
	shown   *Shown // nil: EC2 has not been asked yet
	cooling map[string]int
	trouble string // why EC2 was not seen the last time
}

// changed has the cluster told anew.
func (w *watch) changed() { poke(w.wake) }

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// start starts the informers, and waits until they know all there is.
func (w *watch) start(ctx context.Context) error {
	nodes := informers.NewSharedInformerFactoryWithOptions(w.Kube, 0, informers.WithTweakListOptions(func(l *metav1.ListOptions) {
		l.LabelSelector = labels.Set{vpc.LabelOS: vpc.Windows}.String()
	}), informers.WithTransform(slimNode)).Core().V1().Nodes().Informer()
	configMaps := informers.NewSharedInformerFactoryWithOptions(w.Kube, 0, informers.WithNamespace(w.ConfigMap.Namespace), informers.WithTweakListOptions(func(l *metav1.ListOptions) {
		l.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, w.ConfigMap.Name).String()
	})).Core().V1().ConfigMaps().Informer()
	bound := cache.NewSharedInformer(kube.BoundPods(w.Kube), &corev1.Pod{}, 0)
	_, err1 := nodes.AddEventHandler(w.anyChange(func() { poke(w.look) }))
	_, err2 := configMaps.AddEventHandler(w.anyChange(func() {}))
	_, err3 := bound.AddEventHandler(w.pods.handler())
	err4 := bound.SetTransform(func(o any) (any, error) {
		if p, is := o.(*corev1.Pod); is {
			return pods.Strip(p), nil
		}
		return o, nil
	})
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return err
	}
	for _, i := range []cache.SharedInformer{nodes, configMaps, bound} {
		go i.RunWithContext(ctx)
	}
	w.nodes, w.configMaps = nodes.GetStore(), configMaps.GetStore()
	if !cache.WaitForCacheSync(ctx.Done(), nodes.HasSynced, configMaps.HasSynced, bound.HasSynced) {
		return errors.New("the API server does not list nodes, pods and ConfigMaps: check that it answers (kubectl get nodes)")
	}
	return nil
}

// slimNode drops what takes room in a Node and is not used here.
func slimNode(o any) (any, error) {
	if n, is := o.(*corev1.Node); is {
		n.ManagedFields, n.Annotations, n.Status.Images, n.Status.Conditions = nil, nil, nil, nil
	}
	return o, nil
}

// anyChange tells the cluster anew at any event, and calls f for what is new.
func (w *watch) anyChange(f func()) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { f(); w.changed() },
		UpdateFunc: func(any, any) { w.changed() },
		DeleteFunc: func(any) { w.changed() },
	}
}

// lookOn looks at EC2 at once, then at intervals, and soon after a Node has joined.
func (w *watch) lookOn(ctx context.Context) {
	for {
		w.lookNow(ctx)
		pause := time.NewTimer(w.Every)
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		case <-w.look:
			select {
			case <-ctx.Done():
				return
			case <-time.After(min(soon, w.Every)):
			}
		}
		pause.Stop()
	}
}

func (w *watch) lookNow(ctx context.Context) {
	shown := w.EC2.Look(ctx, instances(w.nodeList()))
	cooling := ReadCooling(ctx, w.Reader)
	err := shown.Failure()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cooling = cooling
	if w.trouble = ""; err != nil {
		w.trouble = err.Error()
	}
	if err == nil || w.shown == nil { // what was seen before is better than nothing
		w.shown = &shown
	}
	w.changed()
}

// tellOn tells of the cluster when it has changed, no more often than is due, and once a
// second while addresses cool.
func (w *watch) tellOn(ctx context.Context, tell func(*Cluster)) {
	for ctx.Err() == nil {
		begun := time.Now()
		c, resting := w.take(begun)
		if c != nil {
			tell(c)
		}
		took := time.Since(begun)
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(least, took*portion)):
		}
		var tick <-chan time.Time
		if resting {
			tick = time.After(time.Second)
		}
		select {
		case <-ctx.Done():
		case <-w.wake:
		case <-tick:
		}
	}
}

// take makes a cluster of what is known; nil before EC2 was seen.
func (w *watch) take(now time.Time) (c *Cluster, resting bool) {
	w.mu.Lock()
	shown, cooling, trouble := w.shown, w.cooling, w.trouble
	w.mu.Unlock()
	if shown == nil {
		return nil, false
	}
	o := Objects{Settings: w.settings(), Nodes: w.nodeList(), Cooling: cooling, Since: w.since}
	o.Pods, resting = w.pods.of(o.Nodes, now)
	c = Take(o, *shown, now)
	c.Trouble = trouble
	return c, resting
}

func (w *watch) nodeList() []*corev1.Node {
	var nodes []*corev1.Node
	for _, o := range w.nodes.List() {
		if n, is := o.(*corev1.Node); is {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

func (w *watch) settings() settings.Settings {
	o, found, err := w.configMaps.GetByKey(w.ConfigMap.String())
	cm, is := o.(*corev1.ConfigMap)
	if err != nil || !found || !is {
		return settings.Settings{}
	}
	s, _ := settings.Parse(cm.Data, settings.Settings{})
	return s
}
