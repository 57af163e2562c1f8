package walk

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/controlplane"
	"slotwise.dev/slotwise/test/ec2sim"
	"slotwise.dev/slotwise/test/testenv"
)

// timeout bounds what is awaited.
const timeout = 2 * time.Minute

// cluster is an empty one, with what a real one has around it: EC2, and in place of
// the controllers and kubelets that run Deployments, this test.
type cluster struct {
	*controlplane.Cluster
	kube     client.Client
	ec2      *ec2sim.Server
	endpoint string
	ports    struct{ webhook, extender, health int }
	programs []*controlplane.Process // of the Deployments
}

func start(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{ec2: ec2sim.New(ec2sim.Options{})}
	var err error
	c.Cluster, err = controlplane.Start(t.Context(), controlplane.Options{})
	check.Must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			c.Keep()
			t.Log("logs of the control plane:", c.LogDir())
		}
		check.Must(t, c.Stop())
		c.ec2.Close()
	})
	c.endpoint, err = c.ec2.Start("127.0.0.1:0")
	check.Must(t, err)
	check.Must(t, c.ec2.AddSubnet(testenv.Subnet, testenv.Zone, netip.MustParsePrefix("10.0.0.0/20")))
	c.kube, err = client.New(c.Admin, client.Options{})
	check.Must(t, err)
	for _, port := range []*int{&c.ports.webhook, &c.ports.extender, &c.ports.health} {
		*port, err = controlplane.FreePort()
		check.Must(t, err)
	}
	// The VPC CNI brings it.
	check.Must(t, c.kube.Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: testenv.ConfigMap.Namespace, Name: testenv.ConfigMap.Name},
	}))
	return c
}

// until waits until check finds nothing wrong.
func until(ctx context.Context, what string, check func(context.Context) error) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, timeout, true, func(ctx context.Context) (bool, error) {
		last = check(ctx)
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("wait until %s: %w", what, errors.Join(err, last))
	}
	return nil
}

// runDeployment does what controllers and kubelet would do for Slotwise's Deployment
// once it is there: the program runs, and it is available. There is no Service
// network, so the API server reaches the webhook at a port of this machine.
func (c *cluster) runDeployment(ctx context.Context) error {
	d, err := c.deployment(ctx, "slotwise")
	if err != nil {
		return err
	}
	if err := c.kube.Create(ctx, testenv.Pod(metav1.NamespaceDefault, "early"), client.DryRunAll); err != nil {
		return fmt.Errorf("a Windows pod while Slotwise is not there yet: %w", err)
	}
	if err := c.startSlotwise(ctx, d.Spec.Template.Spec.Containers[0].Args); err != nil {
		return err
	}
	return c.available(ctx, d)
}

// deployment waits until a Deployment is there.
func (c *cluster) deployment(ctx context.Context, name string) (*appsv1.Deployment, error) {
	d := &appsv1.Deployment{}
	return d, until(ctx, "the Deployment "+name+" is there", func(ctx context.Context) error {
		return c.kube.Get(ctx, client.ObjectKey{Namespace: testenv.Namespace, Name: name}, d)
	})
}

func (c *cluster) available(ctx context.Context, d *appsv1.Deployment) error {
	d.Status.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue}}
	return c.kube.Status().Update(ctx, d)
}

// serveWebhook has the API server find the webhook once its configuration is applied.
func (c *cluster) serveWebhook(ctx context.Context) error {
	return until(ctx, "the webhook is redirected", c.redirectWebhook)
}

func (c *cluster) redirectWebhook(ctx context.Context) error {
	w := &admissionregistrationv1.MutatingWebhookConfiguration{}
	if err := c.kube.Get(ctx, client.ObjectKey{Name: "slotwise"}, w); err != nil {
		return err
	}
	for i := range w.Webhooks {
		at := &w.Webhooks[i].ClientConfig
		at.URL, at.Service = new(fmt.Sprintf("https://localhost:%d%s", c.ports.webhook, *at.Service.Path)), nil
	}
	return c.kube.Update(ctx, w)
}

func (c *cluster) startSlotwise(ctx context.Context, args []string) error {
	binary := filepath.Join(c.Dir, "slotwise")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "slotwise.dev/slotwise/cmd/slotwise").CombinedOutput(); err != nil {
		return fmt.Errorf("build slotwise: %w\n%s", err, out)
	}
	kubeconfig, err := c.ServiceAccountKubeconfig(ctx, testenv.Namespace, "slotwise")
	if err != nil {
		return err
	}
	health := "localhost:" + strconv.Itoa(c.ports.health)
	p, err := c.Run(ctx, controlplane.Command{
		Name: "slotwise", Path: binary,
		Args: append(args, "--kubeconfig="+kubeconfig, "--namespace="+testenv.Namespace, "--cert-names=localhost",
			"--aws-region="+testenv.Region, "--ec2-endpoint="+c.endpoint, "--metrics-address=0", "--health-address="+health,
			"--webhook-port="+strconv.Itoa(c.ports.webhook), "--extender-address=localhost:"+strconv.Itoa(c.ports.extender)),
		Env:   []string{"AWS_ACCESS_KEY_ID=AKIDSIMULATED", "AWS_SECRET_ACCESS_KEY=simulated", "AWS_EC2_METADATA_DISABLED=true"},
		Ready: func(ctx context.Context) error { return ready(ctx, "http://"+health+"/readyz") },
	})
	c.programs = append(c.programs, p)
	return err
}

func ready(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, answer.Status)
	}
	return errors.Join(err, answer.Body.Close())
}

// endNamespace does what controllers and kubelet would do as the namespace is
// deleted: the programs end, and the namespace goes.
func (c *cluster) endNamespace(ctx context.Context) error {
	namespaces := c.Client.CoreV1().Namespaces()
	return until(ctx, "the namespace is deleted", func(ctx context.Context) error {
		n, err := namespaces.Get(ctx, testenv.Namespace, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if n.DeletionTimestamp == nil {
			return errors.New("nobody has asked for it")
		}
		for _, p := range c.programs {
			if err := p.Stop(); err != nil {
				return err
			}
		}
		n.Spec.Finalizers = nil
		_, err = namespaces.Finalize(ctx, n, metav1.UpdateOptions{})
		return client.IgnoreNotFound(err)
	})
}

// addNode has an EC2 instance join as a Windows node.
func (c *cluster) addNode(t *testing.T, name, instanceType string) {
	t.Helper()
	const instance = "i-0123456789abcdef0"
	check.Must(t, check.ErrorOf(c.ec2.AddInstance(ec2sim.Instance{ID: instance, Type: instanceType, Subnet: testenv.Subnet})))
	check.Must(t, check.ErrorOf(c.AddNode(t.Context(), controlplane.Node{
		Name: name, ProviderID: "aws:///" + testenv.Zone + "/" + instance, InstanceType: instanceType, Windows: true,
	})))
}

// gone says that an object is there no more.
func (c *cluster) gone(ctx context.Context, o client.Object) error {
	err := c.kube.Get(ctx, client.ObjectKeyFromObject(o), o)
	if apierrors.IsNotFound(err) {
		return nil
	}
	return errors.Join(fmt.Errorf("%T %s is still there", o, o.GetName()), err)
}
