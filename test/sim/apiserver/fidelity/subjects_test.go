// Package fidelity holds the API server of the simulation against the real one: the same
// requests, to both, by the ports of Slotwise, have the same answers and the same effects.
package fidelity

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/api/v1alpha1"
	"slotwise.dev/slotwise/allocator/kube"
	"slotwise.dev/slotwise/allocator/vpc"
	"slotwise.dev/slotwise/test/controlplane"
	"slotwise.dev/slotwise/test/sim/apiserver"
)

const namespace = "default"

// subject is an API server with what the test asks of it.
type subject struct {
	name  string
	pods  kube.Pods
	nodes kube.Nodes
	slots kube.NodeSlots
	bound cache.ListerWatcher
	others
}

// others are who else asks the API server, and what they ask.
type others interface {
	create(context.Context, *corev1.Pod) error
	update(context.Context, *corev1.Pod) error
	phase(ctx context.Context, pod string, p corev1.PodPhase) error
	remove(ctx context.Context, pod string, d apiserver.Deletion) error
	budget(ctx context.Context) error // from here on no pod may be evicted
	createNode(ctx context.Context, name string) error
	removeNode(ctx context.Context, name string) error
	node(ctx context.Context, name string) (*corev1.Node, error)
	object(ctx context.Context, name string) (*v1alpha1.NodeSlots, error)
}

func always() bool { return true }

// simulated is the one of the simulation.
func simulated(t *testing.T) subject {
	s := apiserver.New()
	t.Cleanup(s.Close)
	c := s.Client(apiserver.NewLink(apiserver.LinkOptions{Name: "test"}))
	return subject{"simulated", c.Pods(), c.Nodes(), c.NodeSlots(always), c.BoundPods(), simulation{s, c}}
}

// actual is a kube-apiserver.
func actual(t *testing.T) subject {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cluster, err := controlplane.Start(ctx, controlplane.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(cluster.Admin, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	if err := installCRD(ctx, c); err != nil {
		t.Fatal(err)
	}
	return subject{"real", kube.NewPods(cluster.Client), kube.NewNodes(cluster.Client), kube.NewNodeSlots(c, always), kube.BoundPods(cluster.Client), reality{c}}
}

// state is all of a pod that the rules of the API server are about.
func (s subject) state(ctx context.Context, pod string) string {
	p, err := s.pods.Get(ctx, key(pod))
	if err != nil {
		return string(apierrors.ReasonForError(err))
	}
	return describe(p)
}

func describe(p *corev1.Pod) string {
	var text strings.Builder
	fmt.Fprintf(&text, "on %q with %q, %s", p.Spec.NodeName, p.Annotations[vpc.Annotation], p.Status.Phase)
	if p.DeletionTimestamp != nil {
		fmt.Fprintf(&text, ", deleted with %d s", *p.DeletionGracePeriodSeconds)
	}
	if n := p.Status.NominatedNodeName; n != "" {
		text.WriteString(", nominated to " + n)
	}
	for _, c := range p.Status.Conditions {
		fmt.Fprintf(&text, ", %s %s", c.Type, c.Status)
	}
	return text.String()
}

// follow watches the bound pods from now on. The function that it returns tells what came.
func (s subject) follow(ctx context.Context, t *testing.T) func() []string {
	lw := cache.ToListerWatcherWithContext(s.bound)
	list, err := lw.ListWithContext(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := meta.ListAccessor(list)
	if err != nil {
		t.Fatal(err)
	}
	w, err := lw.WatchWithContext(ctx, metav1.ListOptions{ResourceVersion: m.GetResourceVersion()})
	if err != nil {
		t.Fatal(err)
	}
	return func() []string { return seen(w) }
}

// seen reads a watch until nothing more comes.
func seen(w watch.Interface) (all []string) {
	defer w.Stop()
	for {
		select {
		case e := <-w.ResultChan():
			p := e.Object.(*corev1.Pod)
			all = append(all, fmt.Sprintf("%s %s: %s", e.Type, p.Name, describe(p)))
		case <-time.After(time.Second):
			return all
		}
	}
}

func key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: name}
}

// simulation is the others of the simulated API server.
type simulation struct {
	server *apiserver.Server
	client *apiserver.Client
}

func (s simulation) create(ctx context.Context, p *corev1.Pod) error {
	_, err := s.server.Pods().Via(s.client).Create(ctx, p)
	return err
}

func (s simulation) update(ctx context.Context, p *corev1.Pod) error {
	_, err := s.server.Pods().Via(s.client).Update(ctx, p)
	return err
}

func (s simulation) phase(ctx context.Context, pod string, phase corev1.PodPhase) error {
	_, err := s.server.Pods().Via(s.client).Change(ctx, key(pod), "", func(p *corev1.Pod) error { p.Status.Phase = phase; return nil })
	return err
}

func (s simulation) remove(ctx context.Context, pod string, d apiserver.Deletion) error {
	return s.server.Pods().Via(s.client).Delete(ctx, key(pod), d)
}

func (s simulation) budget(context.Context) error {
	s.server.RefuseEvictions(func(*corev1.Pod) bool { return true })
	return nil
}

func (s simulation) createNode(_ context.Context, name string) error {
	_, err := s.server.Nodes().Create(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}})
	return err
}

func (s simulation) removeNode(_ context.Context, name string) error {
	return s.server.Nodes().Delete(types.NamespacedName{Name: name}, apiserver.Deletion{})
}

func (s simulation) node(ctx context.Context, name string) (*corev1.Node, error) {
	return s.server.Nodes().Via(s.client).Get(ctx, types.NamespacedName{Name: name})
}

func (s simulation) object(ctx context.Context, name string) (*v1alpha1.NodeSlots, error) {
	return s.server.NodeSlots().Via(s.client).Get(ctx, types.NamespacedName{Name: name})
}

// reality is the others of a kube-apiserver.
type reality struct{ client.Client }

func (r reality) create(ctx context.Context, p *corev1.Pod) error { return r.Create(ctx, p.DeepCopy()) }

func (r reality) update(ctx context.Context, p *corev1.Pod) error { return r.Update(ctx, p.DeepCopy()) }

func (r reality) phase(ctx context.Context, pod string, phase corev1.PodPhase) error {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: pod}}
	return r.Status().Patch(ctx, p, client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"status":{"phase":%q}}`, phase)))
}

func (r reality) remove(ctx context.Context, pod string, d apiserver.Deletion) error {
	o := &client.DeleteOptions{GracePeriodSeconds: d.Grace}
	if d.UID != "" || d.Version != "" {
		o.Preconditions = &metav1.Preconditions{}
	}
	if d.UID != "" {
		o.Preconditions.UID = &d.UID
	}
	if d.Version != "" {
		o.Preconditions.ResourceVersion = &d.Version
	}
	return r.Delete(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: pod}}, o)
}

// budget does the part of the disruption controller, too.
func (r reality) budget(ctx context.Context) error {
	b := &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "none"},
		Spec:       policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{}},
	}
	if err := r.Create(ctx, b); err != nil {
		return err
	}
	b.Status = policyv1.PodDisruptionBudgetStatus{ObservedGeneration: b.Generation}
	return r.Status().Update(ctx, b)
}

func (r reality) createNode(ctx context.Context, name string) error {
	return r.Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}})
}

func (r reality) removeNode(ctx context.Context, name string) error {
	return r.Delete(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}})
}

func (r reality) node(ctx context.Context, name string) (*corev1.Node, error) {
	n := &corev1.Node{}
	return n, r.Get(ctx, client.ObjectKey{Name: name}, n)
}

func (r reality) object(ctx context.Context, name string) (*v1alpha1.NodeSlots, error) {
	o := &v1alpha1.NodeSlots{}
	return o, r.Get(ctx, client.ObjectKey{Name: name}, o)
}

// verdict is an error as far as the two must agree in it.
func verdict(err error) string {
	if err == nil {
		return "done"
	}
	reason := string(apierrors.ReasonForError(err))
	if reason == "" {
		reason = err.Error()
	}
	if kube.Refused(err) {
		reason += ", refused for certain"
	}
	return reason
}
