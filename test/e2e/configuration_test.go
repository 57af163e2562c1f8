package e2e

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/config"
	"slotwise.dev/slotwise/allocator/events"
	"slotwise.dev/slotwise/allocator/settings"
	"slotwise.dev/slotwise/allocator/vpc"
	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/testenv"
)

// TestConfiguration changes the ConfigMap of a running environment, again and again.
func TestConfiguration(t *testing.T) {
	t.Parallel()
	e := start(t, testenv.Options{})
	t.Run("warm pools of secondary IPs", e.testWarmSecondaryIPs)
	t.Run("values that cannot be read", e.testUnreadableValues)
	t.Run("warm pools of prefixes", e.testWarmPrefixes)
	t.Run("off and on", func(t *testing.T) {
		e.testOffAndOn(t, "switched",
			func(t *testing.T) {
				check.Must(t, e.Configure(t.Context(), map[string]string{settings.KeyEnabled: "false"}))
			},
			func(t *testing.T) { e.configure(t) })
	})
	t.Run("beside AWS's old controller", func(t *testing.T) {
		e.testOffAndOn(t, "beside", e.addOldController, func(t *testing.T) {
			check.Must(t, e.Kube.Delete(t.Context(), oldController()))
		})
	})
	e.noEC2Errors(t)
}

// configure turns Slotwise on with more settings.
func (e *env) configure(t *testing.T, data ...map[string]string) {
	t.Helper()
	all := map[string]string{settings.KeyEnabled: "true"}
	for _, more := range data {
		maps.Copy(all, more)
	}
	check.Must(t, e.Configure(t.Context(), all))
}

// testUnreadableValues sets values that mean nothing: each is named in an event, and
// what was in force before stays so.
func (e *env) testUnreadableValues(t *testing.T) {
	check.Must(t, check.ErrorOf(e.AddNode(t.Context(), "misread", "t3.large", testenv.Subnet)))
	e.configure(t, map[string]string{settings.KeyWarmIPTarget: "2"})
	e.awaitBlocks(t, "misread", 0, 3) // the minimum
	e.configure(t, map[string]string{settings.KeyMinimumIPTarget: "0", settings.KeyWarmIPTarget: "1"})
	e.awaitBlocks(t, "misread", 0, 1)

	e.configure(t, map[string]string{settings.KeyMinimumIPTarget: "three", settings.KeyWarmIPTarget: "4 5", settings.KeyPrefixDelegation: "yes please"})
	for _, want := range []string{`minimum-ip-target: "three"`, `warm-ip-target: "4 5"`, `enable-windows-prefix-delegation: "yes please"`} {
		check.Must(t, e.AwaitEvent(t.Context(), "ConfigMap", testenv.ConfigMap.Namespace, testenv.ConfigMap.Name, events.ReasonInvalidSetting, want))
	}
	check.Must(t, check.ErrorOf(e.AddNode(t.Context(), "misread-later", "t3.large", testenv.Subnet)))
	e.awaitBlocks(t, "misread-later", 0, 1)
	e.awaitBlocks(t, "misread", 0, 1)
}

// testOffAndOn lets pods come while Slotwise is off, or acts as if it were:
// nothing is given to them, and nothing asked of EC2. Once it is on again they
// get their addresses by themselves: the one that is bound already, and the one
// that the extender had turned away (I8).
func (e *env) testOffAndOn(t *testing.T, node string, off, on func(*testing.T)) {
	e.configure(t)
	namespace := e.NewNamespace(t)
	check.Must(t, check.ErrorOf(e.AddNode(t.Context(), node, "t3.large", testenv.Subnet)))
	e.awaitBlocks(t, node, 0, 3)
	before := e.Interface(node).Addresses

	off(t)
	e.awaitWebhook(t, namespace, false)
	check.Must(t, e.CreatePods(t.Context(), namespace, "untouched", 1, testenv.OnNode(node)))
	check.Must(t, e.CreatePods(t.Context(), namespace, "asks", 1, testenv.OnNode(node), asking))
	message, err := e.AwaitTurnedAway(t.Context(), namespace, 1)
	check.Must(t, err)
	if !strings.Contains(message, "Windows IPAM is off") {
		t.Errorf("the scheduler says %q, want it to say that Windows IPAM is off", message)
	}
	p := e.pod(t, namespace, "untouched-0")
	if a := p.Annotations[vpc.Annotation]; a != "" || p.Spec.NodeName == "" {
		t.Errorf("untouched-0 is on node %q with address %q, want %s and none", p.Spec.NodeName, a, node)
	}
	if held := e.Interface(node).Addresses; !slices.Equal(held, before) {
		t.Errorf("%s had %v before Slotwise was off and has %v", node, before, held)
	}

	on(t)
	check.Must(t, e.AwaitRunning(t.Context(), namespace, 2))
	e.awaitWebhook(t, namespace, true)
}

// asking has a pod ask for an address as the webhook would have it do.
func asking(p *corev1.Pod) {
	one := corev1.ResourceList{vpc.Resource: resource.MustParse("1")}
	p.Spec.Containers[0].Resources = corev1.ResourceRequirements{Requests: one, Limits: one}
}

// awaitWebhook waits until new Windows pods are made to ask for an address, or
// no longer are.
func (e *env) awaitWebhook(t *testing.T, namespace string, want bool) {
	t.Helper()
	check.Must(t, e.Until(t.Context(), "the webhook knows the settings", func(ctx context.Context) error {
		p := testenv.Pod(namespace, "trial")
		if err := e.Kube.Create(ctx, p, client.DryRunAll); err != nil {
			return err
		}
		if _, asks := p.Spec.Containers[0].Resources.Requests[vpc.Resource]; asks != want {
			return errors.New("it does not yet")
		}
		return nil
	}))
}

// addOldController installs AWS's old controller, as far as Slotwise can tell.
func (e *env) addOldController(t *testing.T) {
	check.Must(t, e.Kube.Create(t.Context(), oldController()))
	check.Must(t, e.AwaitEvent(t.Context(), "Deployment", config.OldController.Namespace, config.OldController.Name,
		events.ReasonOtherController, "acts as if it were off"))
}

func oldController() *appsv1.Deployment {
	labels := map[string]string{"app": config.OldController.Name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: config.OldController.Namespace, Name: config.OldController.Name},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "controller", Image: "controller"}}},
			},
		},
	}
}
