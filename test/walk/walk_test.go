package walk

import (
	"context"
	"fmt"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/vpc"
	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/controlplane"
	"slotwise.dev/slotwise/test/testenv"
)

// TestSelfManaged walks through the guide on an empty self-managed cluster: install,
// a Windows pod, the switch to prefixes, uninstall.
func TestSelfManaged(t *testing.T) {
	const node, slots = "win-1", 14 // a t3.xlarge's
	c := start(t)
	sh := shell{kubeconfig: c.AdminKubeconfig, files: t.TempDir()}
	sh.runWhile(t, block(t, "install"), c.runDeployment, c.serveWebhook)
	scheduler := c.startScheduler(t, sh)
	c.addNode(t, node, "t3.xlarge")
	check.Must(t, check.ErrorOf(sh.run(t.Context(), t, block(t, "on"))))

	c.createPod(t, "first")
	first := c.awaitRunning(t, "first")
	if !strings.Contains(first.Annotations[vpc.Annotation], "/20") {
		t.Errorf("in secondary IP mode the address is %q, want one with the subnet's mask", first.Annotations[vpc.Annotation])
	}
	c.awaitSlots(t, sh, node, fmt.Sprintf("%s secondary-ip %d 1", node, slots-1))
	check.Must(t, check.ErrorOf(sh.run(t.Context(), t, `kubectl -n kube-system patch configmap amazon-vpc-cni --type merge `+
		`-p '{"data":{"enable-windows-prefix-delegation":"true"}}'`)))
	c.awaitSlots(t, sh, node, fmt.Sprintf("%s prefix %d 1", node, (slots-1)*16))
	c.createPod(t, "second")
	if second := c.awaitRunning(t, "second"); !strings.HasSuffix(second.Annotations[vpc.Annotation], "/32") {
		t.Errorf("in prefix mode the address is %q, want one out of a prefix", second.Annotations[vpc.Annotation])
	}

	check.Must(t, scheduler.Stop())
	check.Must(t, check.ErrorOf(c.StartScheduler(t.Context(), controlplane.Scheduler{Probes: c.ownProbes(t)})))
	c.createPod(t, "third")
	c.awaitRunning(t, "third") // bound by a scheduler that knows nothing of addresses
	sh.runWhile(t, block(t, "uninstall"), c.endNamespace)
	c.leftNothing(t, node)
	if got := c.awaitRunning(t, "first").Annotations[vpc.Annotation]; got != first.Annotations[vpc.Annotation] {
		t.Errorf("the address of the first pod was %s and is %s", first.Annotations[vpc.Annotation], got)
	}
}

func (c *cluster) createPod(t *testing.T, name string) {
	t.Helper()
	check.Must(t, until(t.Context(), "pod "+name+" is created", func(ctx context.Context) error {
		return c.kube.Create(ctx, testenv.Pod(metav1.NamespaceDefault, name))
	}))
}

func (c *cluster) awaitRunning(t *testing.T, name string) *corev1.Pod {
	t.Helper()
	p := &corev1.Pod{}
	check.Must(t, until(t.Context(), "pod "+name+" runs", func(ctx context.Context) error {
		err := c.kube.Get(ctx, client.ObjectKey{Namespace: metav1.NamespaceDefault, Name: name}, p)
		if err == nil && (p.Status.Phase != corev1.PodRunning || p.Annotations[vpc.Annotation] == "") {
			err = fmt.Errorf("it is %s with the annotations %v: %v", p.Status.Phase, p.Annotations, p.Status.Conditions)
		}
		return err
	}))
	return p
}

// awaitSlots waits until `kubectl get nodeslots` shows a node's mode, what remains
// and how many addresses are in use.
func (c *cluster) awaitSlots(t *testing.T, sh shell, node, want string) {
	t.Helper()
	const columns = "custom-columns=:.metadata.name,:.status.mode,:.status.remaining,:.status.inUse"
	check.Must(t, until(t.Context(), "kubectl get nodeslots shows "+want, func(ctx context.Context) error {
		out, err := sh.run(ctx, t, "kubectl get nodeslots "+node+" --no-headers -o "+columns)
		if got := strings.Join(strings.Fields(out), " "); err == nil && got != want {
			err = fmt.Errorf("it shows %s", got)
		}
		return err
	}))
}

// leftNothing: of Slotwise nothing is left but what running pods need, and nothing
// stands in another allocator's way.
func (c *cluster) leftNothing(t *testing.T, node string) {
	t.Helper()
	c.leftNothingButNodes(t)
	var n corev1.Node
	check.Must(t, c.kube.Get(t.Context(), client.ObjectKey{Name: node}, &n))
	if _, has := n.Status.Capacity[vpc.Resource]; has {
		t.Errorf("the node still shows %s", vpc.Resource)
	}
	for name := range n.Annotations {
		if strings.HasPrefix(name, "slotwise.dev/") {
			t.Errorf("the node still has the annotation %s", name)
		}
	}
}

// leftNothingButNodes: so it is, as far as it is not about what is written on Nodes.
func (c *cluster) leftNothingButNodes(t *testing.T) {
	t.Helper()
	for _, o := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: testenv.Namespace}},
		&admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "slotwise"}},
		&admissionregistrationv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "slotwise-address-guard"}},
		&admissionregistrationv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: "slotwise-address-guard"}},
		&admissionregistrationv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "slotwise-pod-guard"}},
		&admissionregistrationv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "slotwise-node-guard"}},
		&admissionregistrationv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "slotwise-settings-guard"}},
		&flowcontrolv1.FlowSchema{ObjectMeta: metav1.ObjectMeta{Name: "slotwise"}},
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "slotwise"}},
		&admissionregistrationv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: "slotwise-own-settings-guard"}},
		&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "slotwise"}},
		&rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "slotwise"}},
	} {
		check.Must(t, until(t.Context(), o.GetName()+" is gone", func(ctx context.Context) error { return c.gone(ctx, o) }))
	}
	p := testenv.Pod(metav1.NamespaceDefault, "anothers")
	p.Annotations = map[string]string{vpc.Annotation: "10.0.0.77/32"}
	check.Must(t, until(t.Context(), "another allocator may write addresses", func(ctx context.Context) error {
		return c.kube.Create(ctx, p.DeepCopy(), client.DryRunAll)
	}))
}
