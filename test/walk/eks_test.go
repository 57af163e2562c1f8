package walk

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/vpc"
	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/testenv"
)

const eksScheduler = "slotwise-scheduler"

// TestEKS walks through the guide on a cluster with AWS's managed controller: take
// over, and hand back. As long as AWS's controller is on, Slotwise may be there or
// not: no pod is refused or changed.
func TestEKS(t *testing.T) {
	c := start(t)
	c.skipBefore131(t)
	sh := shell{kubeconfig: c.AdminKubeconfig, files: t.TempDir()}
	run := func(name string) string {
		out, err := sh.run(t.Context(), t, block(t, name))
		check.Must(t, err)
		return out
	}
	c.managedController(t, true)

	sh.runWhile(t, block(t, "eks, install"), c.runDeployment, c.runSecondScheduler(t))
	c.wantScheduler(t, corev1.DefaultSchedulerName)
	run("eks, on")
	c.wantScheduler(t, corev1.DefaultSchedulerName)
	check.Must(t, c.kube.Create(t.Context(), asking("waits")))
	sh.runWhile(t, block(t, "eks, take over"), c.serveWebhook)
	c.managedController(t, false)
	c.wantScheduler(t, eksScheduler)
	c.addNode(t, "win-1", "t3.medium")
	c.createPod(t, "first")
	c.awaitRunning(t, "first")
	stays := testenv.Pod(metav1.NamespaceDefault, "stays")
	stays.Spec.SchedulerName = "another"
	check.Must(t, c.kube.Create(t.Context(), stays))
	run("eks, pods that wait")
	check.Must(t, c.gone(t.Context(), asking("waits")))

	c.addressWithoutAsking(t, "never-asked")
	if out := run("eks, pods that never asked"); strings.TrimSpace(out) != metav1.NamespaceDefault+" never-asked" {
		t.Errorf("the pods that never asked are\n%s\nwant never-asked", out)
	}
	check.Must(t, c.kube.Create(t.Context(), nowhere("for-the-second")))
	c.managedController(t, true)
	c.wantScheduler(t, corev1.DefaultSchedulerName)
	sh.runWhile(t, block(t, "eks, uninstall"), c.endNamespace)
	check.Must(t, c.gone(t.Context(), testenv.Pod(metav1.NamespaceDefault, "for-the-second")))
	check.Must(t, c.kube.Get(t.Context(), client.ObjectKeyFromObject(stays), stays))
	c.leftNothingButNodes(t)
}

// managedController turns AWS's managed controller on or off.
func (c *cluster) managedController(t *testing.T, on bool) {
	t.Helper()
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: testenv.ConfigMap.Namespace, Name: testenv.ConfigMap.Name}}
	patch := fmt.Appendf(nil, `{"data":{"enable-windows-ipam":"%t"}}`, on)
	check.Must(t, c.kube.Patch(t.Context(), cm, client.RawPatch(types.MergePatchType, patch)))
}

// wantScheduler waits until new Windows pods get a scheduler; with Slotwise's they
// ask for an address, too.
func (c *cluster) wantScheduler(t *testing.T, want string) {
	t.Helper()
	check.Must(t, until(t.Context(), "Windows pods are for "+want, func(ctx context.Context) error {
		p := testenv.Pod(metav1.NamespaceDefault, "trial")
		if err := c.kube.Create(ctx, p, client.DryRunAll); err != nil {
			return err
		}
		_, asks := p.Spec.Containers[0].Resources.Requests[vpc.Resource]
		if p.Spec.SchedulerName != want || asks != (want == eksScheduler) {
			return fmt.Errorf("one is for %s, and asks for an address: %t", p.Spec.SchedulerName, asks)
		}
		return nil
	}))
}

// nowhere is a Windows pod that no node can take.
func nowhere(name string) *corev1.Pod {
	p := testenv.Pod(metav1.NamespaceDefault, name)
	p.Spec.NodeSelector["nowhere"] = "at-all"
	return p
}

// asking is a pod as AWS's webhook leaves it.
func asking(name string) *corev1.Pod {
	p := testenv.Pod(metav1.NamespaceDefault, name)
	one := corev1.ResourceList{vpc.Resource: resource.MustParse("1")}
	p.Spec.Containers[0].Resources = corev1.ResourceRequirements{Limits: one, Requests: one}
	return p
}

// addressWithoutAsking makes a pod that has an address and does not ask for one, as
// Slotwise gives it to what was bound before the webhook was there.
func (c *cluster) addressWithoutAsking(t *testing.T, name string) {
	t.Helper()
	p := testenv.Pod(metav1.NamespaceDefault, name)
	p.Spec.OS, p.Spec.NodeSelector = nil, nil
	check.Must(t, c.kube.Create(t.Context(), p))
	kubeconfig, err := c.ServiceAccountKubeconfig(t.Context(), testenv.Namespace, "slotwise")
	check.Must(t, err)
	slotwise := shell{kubeconfig: kubeconfig, files: t.TempDir()}
	check.Must(t, check.ErrorOf(slotwise.run(t.Context(), t, "kubectl -n default annotate pod "+name+" "+vpc.Annotation+"=10.0.0.9/32")))
}
