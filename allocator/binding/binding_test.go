package binding

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/kube"
	"slotwise.dev/slotwise/allocator/pods"
)

var (
	key     = types.NamespacedName{Namespace: "default", Name: "p"}
	address = netip.MustParsePrefix("10.0.0.17/32")
	errLost = errors.New("the answer was lost")
)

// node gives one address, and remembers the attempts that it was told to drop.
type node struct {
	name    string
	group   pods.Group
	promise error
	dropped int
	used    bool
}

func newNode(x *pods.Index, name string) *node {
	n := &node{name: name}
	n.group = x.Group(n)
	return n
}

func (n *node) Home() pods.Home                         { return n }
func (n *node) Name() string                            { return n.name }
func (n *node) TakeBack(context.Context) error          { return n.promise }
func (n *node) Observe(pods.Pod) (pods.Home, types.UID) { return nil, "" }
func (n *node) Ended(types.UID, time.Duration)          {}

func (n *node) Obtain(_ context.Context, pod types.NamespacedName, uid types.UID) (*pods.Attempt, netip.Prefix, error) {
	a, _ := n.group.Begin(pod, uid, time.Now())
	_ = a.Post(address, time.Now())
	return a, address, nil
}

func (n *node) Drop(a *pods.Attempt, _ int, used bool) {
	n.dropped++
	n.used = used
	n.group.EndAttempt(a.UID)
}

// api answers a bind with an error, and has a pod on a node.
type api struct {
	answer error
	pod    *corev1.Pod // nil: there is none
	posted []kube.Binding
}

func (s *api) Bind(_ context.Context, b kube.Binding) error {
	s.posted = append(s.posted, b)
	return s.answer
}

func (s *api) Get(context.Context, types.NamespacedName) (*corev1.Pod, error) {
	if s.pod == nil {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "pods"}, key.Name)
	}
	return s.pod, nil
}

func podOn(node string, uid types.UID) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: key.Name, UID: uid}, Spec: corev1.PodSpec{NodeName: node}}
}

// routes finds homes by the name of a Node.
type routes map[string]*node

func (r routes) Home(name string) pods.Home {
	if n := r[name]; n != nil { // a nil node would be no nil home
		return n
	}
	return nil
}

func binder(x *pods.Index, s *api, nodes ...*node) *Binder {
	r := routes{}
	for _, n := range nodes {
		r[n.name] = n
	}
	return New(Options{
		API: s, Index: x, Router: r, At: func(h pods.Home) Node { return h.(*node) },
		Waited: func(time.Duration) {}, Allocated: func(types.NamespacedName, types.UID, netip.Prefix) {},
	})
}

func TestBind(t *testing.T) {
	conflict := apierrors.NewConflict(schema.GroupResource{Resource: "pods"}, key.Name, errors.New("bound"))
	for name, c := range map[string]struct {
		api     api
		promise error
		bound   bool
		posts   int
		dropped bool
		used    bool // the address may have been
	}{
		"I4: bound with its address":           {api: api{pod: podOn("win-1", "u")}, bound: true, posts: 1},
		"I7: the answer was lost, it is bound": {api: api{answer: errLost, pod: podOn("win-1", "u")}, bound: true, posts: 1},
		"I7: lost, and not bound yet":          {api: api{answer: errLost, pod: podOn("", "u")}, posts: 1},
		"lost, and bound elsewhere":            {api: api{answer: errLost, pod: podOn("win-2", "u")}, posts: 1, dropped: true},
		"refused, and not bound":               {api: api{answer: conflict, pod: podOn("", "u")}, posts: 1, dropped: true},
		"I2: gone, whether it ever ran or not": {api: api{answer: errLost}, posts: 1, dropped: true, used: true},
		"I2: another pod of that name":         {api: api{answer: conflict, pod: podOn("win-1", "other")}, posts: 1, dropped: true, used: true},
		"I2: the promise cannot be taken back": {api: api{pod: podOn("", "u")}, promise: errLost, dropped: true},
	} {
		t.Run(name, func(t *testing.T) {
			x := pods.NewIndex()
			n := newNode(x, "win-1")
			n.promise = c.promise
			err := binder(x, &c.api, n, newNode(x, "win-2")).Bind(t.Context(), key, "u", n)
			if (err == nil) != c.bound || len(c.api.posted) != c.posts || (n.dropped == 1) != c.dropped || n.used != c.used {
				t.Errorf("Bind = %v, %d posts, dropped %d times, used: %t", err, len(c.api.posted), n.dropped, n.used)
			}
			if c.posts == 1 && c.api.posted[0] != (kube.Binding{Pod: key, UID: "u", Node: "win-1", Address: address}) {
				t.Errorf("posted %+v", c.api.posted[0])
			}
		})
	}
}

// I7: what is in doubt on another node is settled before the pod is bound to this one.
func TestI7BoundElsewhereAlready(t *testing.T) {
	x := pods.NewIndex()
	here, there := newNode(x, "win-1"), newNode(x, "win-2")
	s := &api{answer: errLost, pod: podOn("", "u")}
	b := binder(x, s, here, there)
	if err := b.Bind(t.Context(), key, "u", there); err == nil {
		t.Fatal("bound, though the answer was lost")
	}
	s.answer, s.pod = nil, podOn("win-2", "u")
	if err := b.Bind(t.Context(), key, "u", here); err == nil || len(s.posted) != 1 {
		t.Errorf("Bind = %v, %d posts: the pod is on win-2", err, len(s.posted))
	}
}
