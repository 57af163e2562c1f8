package kubelet

import (
	"context"
	"slices"
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

// register makes the Node, or takes over the one that is there (kubelet_node_status.go
// tryRegisterWithAPIServer). It tries until it is done, less and less often; false: ctx
// has ended.
func (m *Machine) register(ctx context.Context, anew bool) bool {
	nodes := m.o.Server.Nodes().Via(m.o.Client)
	for pause := 200 * time.Millisecond; ; pause = min(2*pause, 7*time.Second) {
		_, err := nodes.Create(ctx, m.initialNode())
		if apierrors.IsAlreadyExists(err) {
			err = nil
			if anew {
				_, err = nodes.Change(ctx, types.NamespacedName{Name: m.Name()}, "", zeroExtended)
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

// initialNode is the Node as it is at first: not ready, with the taint that admission adds
// (plugin/pkg/admission/nodetaint).
func (m *Machine) initialNode() *corev1.Node {
	n := m.o.Node.DeepCopy()
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

// reportReady reports the Node ready some time after the start.
func (m *Machine) reportReady(ctx context.Context) {
	if sleep(ctx, m.draw(m.o.Ready)) {
		m.insist(ctx, m.o.Server.Nodes().Via(m.o.Client), func(n *corev1.Node) error {
			setReady(n, corev1.ConditionTrue, "KubeletReady")
			dropTaints(n)
			return nil
		})
	}
}

// SetReady has the running kubelet report its Node ready, or not, as when the container
// runtime or the network is away. Pods go on.
func (m *Machine) SetReady(ctx context.Context, ready bool) {
	m.insist(ctx, m.o.Server.Nodes().Via(m.o.Client), func(n *corev1.Node) error {
		if ready {
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
func (m *Machine) settle(ctx context.Context, n *corev1.Node) {
	if equality.Semantic.DeepEqual(extended(n.Status.Capacity), extended(n.Status.Allocatable)) {
		return
	}
	time.AfterFunc(m.within(updateFrequency), func() {
		m.insist(ctx, m.o.Server.Nodes().Via(m.o.Client), func(now *corev1.Node) error {
			for name, n := range extended(n.Status.Capacity) {
				now.Status.Allocatable[name] = n
			}
			return nil
		})
	})
}

func extended(list corev1.ResourceList) corev1.ResourceList {
	some := corev1.ResourceList{}
	for name, n := range list {
		if fit.Extended(name) {
			some[name] = n
		}
	}
	return some
}

// up ends the time without a kubelet.
func (m *Machine) up() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.downtime != nil {
		m.downtime.Stop()
	}
}

// down begins it. After a while the node lifecycle controller sets the Node not ready.
func (m *Machine) down() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.downtime = time.AfterFunc(gracePeriod, func() {
		// A Node that has gone is no error.
		_, _ = m.o.Server.Nodes().Change(types.NamespacedName{Name: m.Name()}, "", func(n *corev1.Node) error {
			setReady(n, corev1.ConditionUnknown, "NodeStatusUnknown")
			addTaint(n, corev1.TaintNodeUnreachable)
			return nil
		})
	})
}

// insist changes the Node, as often as it takes. One that has gone needs no more.
func (m *Machine) insist(ctx context.Context, nodes apiserver.Remote[*corev1.Node], change func(*corev1.Node) error) {
	for ctx.Err() == nil {
		_, err := nodes.Change(ctx, types.NamespacedName{Name: m.Name()}, "", change)
		if err == nil || apierrors.IsNotFound(err) {
			return
		}
		sleep(ctx, m.within(updateFrequency))
	}
}

// within draws a time up to d.
func (m *Machine) within(d time.Duration) time.Duration { return m.draw(apiserver.Spread{Max: d}) }

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

// hostIP is the address of the node; empty where it has none.
func (m *Machine) hostIP() string {
	for _, a := range m.o.Node.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			return a.Address
		}
	}
	return ""
}
