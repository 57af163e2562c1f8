package controllers

import (
	"errors"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"slotwise.dev/slotwise/allocator"
	"slotwise.dev/slotwise/allocator/api/v1alpha1"
	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/settings"
	"slotwise.dev/slotwise/allocator/vpc"
)

const providerID = "aws:///eu-west-1a/i-0123456789abcdef0"

var created = time.Unix(1_000_000, 0)

func windowsNode(name, providerID string, change func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, CreationTimestamp: metav1.NewTime(created), Labels: map[string]string{vpc.LabelOS: vpc.Windows},
		},
		Spec: corev1.NodeSpec{ProviderID: providerID},
		Status: corev1.NodeStatus{
			Allocatable: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("110")},
			Conditions:  []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		},
	}
	change(n)
	return n
}

func named(name string) reconcile.Request {
	return reconcile.Request{NamespacedName: types.NamespacedName{Name: name}}
}

func TestNodes(t *testing.T) {
	member := allocator.Member{Name: "win-1", Instance: "i-0123456789abcdef0", Ready: true, Created: created, MaxPods: 110}
	with := func(change func(*allocator.Member)) []allocator.Member {
		m := member
		change(&m)
		return []allocator.Member{m}
	}
	unmanaged := event{
		On:   corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: "win-1", UID: "win-1"},
		Type: corev1.EventTypeWarning, Reason: "NodeNotManaged", Action: "Discover",
	}
	followed := []string{"add win-1", "seen win-1"}
	for name, c := range map[string]struct {
		node    client.Object // nil: there is none
		told    []string
		members []allocator.Member
		note    string // of the event that it is not managed
	}{
		"a node": {
			node: windowsNode("win-1", providerID, func(*corev1.Node) {}),
			told: followed, members: []allocator.Member{member},
		},
		"one with a mode of its own": {
			node: windowsNode("win-1", providerID, func(n *corev1.Node) { n.Labels = map[string]string{settings.LabelMode: "prefix"} }),
			told: followed, members: with(func(m *allocator.Member) { m.Mode = settings.Choice{Made: true, Mode: ledger.Prefix} }),
		},
		"its kubelet is not ready": {
			node: windowsNode("win-1", providerID, func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionFalse }),
			told: followed, members: with(func(m *allocator.Member) { m.Ready = false }),
		},
		"its kubelet does not report": {
			node: windowsNode("win-1", providerID, func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionUnknown }),
			told: followed, members: with(func(m *allocator.Member) { m.Ready = false }),
		},
		"another condition is true": {
			node: windowsNode("win-1", providerID, func(n *corev1.Node) { n.Status.Conditions[0].Type = corev1.NodeDiskPressure }),
			told: followed, members: with(func(m *allocator.Member) { m.Ready = false }),
		},
		"how many pods it takes is not known": {
			node: windowsNode("win-1", providerID, func(n *corev1.Node) { n.Status.Allocatable = nil }),
			told: followed, members: with(func(m *allocator.Member) { m.MaxPods = 0 }),
		},
		"it is gone": {told: []string{"remove win-1"}},
		"it is no EC2 instance": {
			node: windowsNode("win-1", "eks-hybrid:///x", func(*corev1.Node) {}),
			note: `Slotwise gives no addresses on this node: spec.providerID "eks-hybrid:///x" names no EC2 instance: want aws:///ZONE/INSTANCE-ID, as the AWS cloud provider sets it`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			kube := fake.NewClientBuilder()
			if c.node != nil {
				kube = kube.WithObjects(c.node)
			}
			var f fleet
			var r recorder
			nodes := Nodes{Reader: kube.Build(), Fleet: &f, Events: r.reporter(), Log: logr.Discard()}
			if _, err := nodes.Reconcile(t.Context(), named("win-1")); err != nil {
				t.Fatal(err)
			}
			f.want(t, c.told...)
			if diff := cmp.Diff(c.members, f.members); diff != "" {
				t.Errorf("the members differ (-want +got):\n%s", diff)
			}
			if c.note == "" {
				r.want(t)
			} else {
				unmanaged.Note = c.note
				r.want(t, unmanaged)
			}
		})
	}
}

// TestUnreadMode: a label that cannot be read is told, and the node is managed all the same.
func TestUnreadMode(t *testing.T) {
	var f fleet
	var r recorder
	node := windowsNode("win-1", providerID, func(n *corev1.Node) { n.Labels = map[string]string{settings.LabelMode: "both"} })
	nodes := Nodes{Reader: fake.NewClientBuilder().WithObjects(node).Build(), Fleet: &f, Events: r.reporter(), Log: logr.Discard()}
	if _, err := nodes.Reconcile(t.Context(), named("win-1")); err != nil {
		t.Fatal(err)
	}
	f.want(t, "add win-1", "seen win-1")
	r.want(t, event{
		On:   corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: "win-1", UID: "win-1"},
		Type: corev1.EventTypeWarning, Reason: "InvalidSetting", Action: "Configure",
		Note: `label slotwise.dev/mode: "both" is neither "prefix" nor "secondary-ip"; the mode of the ConfigMap holds on this node`,
	})
}

// TestNodesUnread: a Node that could not be read is not one that is gone.
func TestNodesUnread(t *testing.T) {
	var f fleet
	nodes := Nodes{Reader: failing{fake.NewClientBuilder().Build(), "win-1"}, Fleet: &f, Log: logr.Discard()}
	if _, err := nodes.Reconcile(t.Context(), named("win-1")); !errors.Is(err, errAPI) {
		t.Errorf("the error is %v, want %v", err, errAPI)
	}
	f.want(t)
}

func TestNodeSlots(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	kube := fake.NewClientBuilder().WithScheme(scheme).
		WithObjects(&v1alpha1.NodeSlots{ObjectMeta: metav1.ObjectMeta{Name: "win-1", ResourceVersion: "42"}}).Build()
	for name, c := range map[string]struct {
		object string
		told   []string
		err    error
	}{
		"one that is there":    {object: "win-1", told: []string{`slots win-1 "42"`}},
		"one that is gone":     {object: "win-2", told: []string{`slots win-2 ""`}},
		"one that is not read": {object: "win-3", err: errAPI},
	} {
		t.Run(name, func(t *testing.T) {
			var f fleet
			slots := NodeSlots{Reader: failing{kube, "win-3"}, Fleet: &f}
			if _, err := slots.Reconcile(t.Context(), named(c.object)); !errors.Is(err, c.err) {
				t.Errorf("the error is %v, want %v", err, c.err)
			}
			f.want(t, c.told...)
		})
	}
}
