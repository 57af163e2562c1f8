package kubelet

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/test/sim/apiserver"
	"slotwise.dev/slotwise/test/sim/scheduler/fit"
)

const (
	// updateFrequency is how often a kubelet looks at its Node's status, and writes it
	// where it has changed (nodeStatusUpdateFrequency).
	updateFrequency = 10 * time.Second
	// gracePeriod is how long a kubelet may be silent until its Node is not ready
	// (kube-controller-manager, node-monitor-grace-period).
	gracePeriod = 50 * time.Second
)

// ownNode is what a kubelet, and what the cluster does for it, write of its Node.
type ownNode struct {
	object *corev1.Node // as it registers it
	server *apiserver.Server
	client *apiserver.Client
	dice   *dice
	ready  atomic.Bool // as it was reported last, or is about to be

	mu       sync.Mutex  // guards downtime
	downtime *time.Timer // runs while no kubelet does; nil: none has run yet
}

func (o *ownNode) remote() apiserver.Remote[*corev1.Node] { return o.server.Nodes().Via(o.client) }

func (o *ownNode) key() types.NamespacedName { return types.NamespacedName{Name: o.object.Name} }

// register makes the Node, or takes over the one that is there (kubelet_node_status.go
// tryRegisterWithAPIServer). It tries until it is done, less and less often; false: ctx
// has ended.
func (o *ownNode) register(ctx context.Context, anew bool) bool {
	for pause := 200 * time.Millisecond; ; pause = min(2*pause, 7*time.Second) {
		_, err := o.remote().Create(ctx, o.initial())
		if apierrors.IsAlreadyExists(err) {
			err = nil
			if anew {
				_, err = o.remote().Change(ctx, o.key(), "", zeroExtended)
			}
		}
		if err == nil {
			return ctx.Err() == nil
		}
		if !sleep(ctx, pause) {
			return false
		}
	}
}

// initial is the Node as it is at first: not ready, with the taint that admission adds
// (plugin/pkg/admission/nodetaint).
func (o *ownNode) initial() *corev1.Node {
	n := o.object.DeepCopy()
	if n.Status.Allocatable == nil {
		n.Status.Allocatable = n.Status.Capacity.DeepCopy()
	}
	n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule})
	setReady(n, corev1.ConditionFalse, "KubeletNotReady")
	return n
}

// zeroExtended is what a kubelet does to the Node of a machine that was made anew
// (reconcileExtendedResource).
func zeroExtended(n *corev1.Node) error {
	for name := range n.Status.Capacity {
		if fit.Extended(name) {
			zero := *resource.NewQuantity(0, resource.DecimalSI)
			n.Status.Capacity[name] = zero
			if n.Status.Allocatable == nil {
				n.Status.Allocatable = corev1.ResourceList{}
			}
			n.Status.Allocatable[name] = zero
		}
	}
	return nil
}

// report reports the Node ready or not, and has the node lifecycle controller follow.
// What could not be written at once is not written once another report has followed.
func (o *ownNode) report(ctx context.Context, ready bool) {
	o.ready.Store(ready)
	o.insist(ctx, func(n *corev1.Node) error {
		if o.ready.Load() {
			setReady(n, corev1.ConditionTrue, "KubeletReady")
			dropTaints(n)
		} else {
			setReady(n, corev1.ConditionFalse, "KubeletNotReady")
			addTaint(n, corev1.TaintNodeNotReady)
		}
		return nil
	})
}

// settle copies extended resources from capacity to allocatable where somebody has written
// the one without the other, at the kubelet's next look at the Node, as it knew it then
// (nodestatus/setters.go MachineInfo).
func (o *ownNode) settle(ctx context.Context, known *corev1.Node) {
	if equality.Semantic.DeepEqual(extended(known.Status.Capacity), extended(known.Status.Allocatable)) {
		return
	}
	time.AfterFunc(o.dice.within(updateFrequency), func() {
		o.insist(ctx, func(n *corev1.Node) error {
			maps.Copy(n.Status.Allocatable, extended(known.Status.Capacity))
			return nil
		})
	})
}

func extended(list corev1.ResourceList) corev1.ResourceList {
	some := corev1.ResourceList{}
	for name, quantity := range list {
		if fit.Extended(name) {
			some[name] = quantity
		}
	}
	return some
}

// up ends the time without a kubelet.
func (o *ownNode) up() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.downtime != nil {
		o.downtime.Stop()
	}
}

// down begins it. After a while the node lifecycle controller sets the Node not ready,
// unless another machine has taken the name.
func (o *ownNode) down() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.downtime = time.AfterFunc(gracePeriod, func() {
		// A Node that has gone is no error.
		_, _ = o.server.Nodes().Change(o.key(), "", func(n *corev1.Node) error {
			if n.Spec.ProviderID == o.object.Spec.ProviderID {
				setReady(n, corev1.ConditionUnknown, "NodeStatusUnknown")
				addTaint(n, corev1.TaintNodeUnreachable)
			}
			return nil
		})
	})
}

// insist changes the Node, as often as it takes. One that has gone needs no more.
func (o *ownNode) insist(ctx context.Context, change func(*corev1.Node) error) {
	for ctx.Err() == nil {
		_, err := o.remote().Change(ctx, o.key(), "", change)
		if err == nil || apierrors.IsNotFound(err) {
			return
		}
		sleep(ctx, o.dice.within(updateFrequency))
	}
}

// hostIP is the address of the node; empty where it has none.
func (o *ownNode) hostIP() string {
	for _, a := range o.object.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			return a.Address
		}
	}
	return ""
}

func setReady(n *corev1.Node, status corev1.ConditionStatus, reason string) {
	c := corev1.NodeCondition{Type: corev1.NodeReady, Status: status, Reason: reason, LastTransitionTime: metav1.Now()}
	for i := range n.Status.Conditions {
		if n.Status.Conditions[i].Type == corev1.NodeReady {
			n.Status.Conditions[i] = c
			return
		}
	}
	n.Status.Conditions = append(n.Status.Conditions, c)
}

// addTaint keeps schedulers from a Node
// (pkg/controller/nodelifecycle/node_lifecycle_controller.go).
func addTaint(n *corev1.Node, key string) {
	dropTaints(n)
	n.Spec.Taints = append(n.Spec.Taints,
		corev1.Taint{Key: key, Effect: corev1.TaintEffectNoSchedule}, corev1.Taint{Key: key, Effect: corev1.TaintEffectNoExecute})
}

func dropTaints(n *corev1.Node) {
	n.Spec.Taints = slices.DeleteFunc(slices.Clone(n.Spec.Taints), func(t corev1.Taint) bool {
		return t.Key == corev1.TaintNodeNotReady || t.Key == corev1.TaintNodeUnreachable
	})
}
