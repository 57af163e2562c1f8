package survey

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	crfake "sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"slotwise.dev/slotwise/allocator/api/v1alpha1"
	"slotwise.dev/slotwise/allocator/settings"
	"slotwise.dev/slotwise/allocator/vpc"
	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/ec2sim"
)

var configMap = types.NamespacedName{Namespace: "kube-system", Name: "amazon-vpc-cni"}

// simulated is an EC2 with one t3.xlarge that has a secondary IP and a prefix.
func simulated(t *testing.T) (*ec2sim.Server, *EC2) {
	t.Helper()
	sim := ec2sim.New(ec2sim.Options{})
	t.Cleanup(sim.Close)
	url, err := sim.Start("127.0.0.1:0")
	check.Must(t, err)
	check.Must(t, sim.AddSubnet("subnet-1", "eu-west-1a", netip.MustParsePrefix("10.0.0.0/24")))
	eni, err := sim.AddInstance(ec2sim.Instance{ID: "i-1", Type: "t3.xlarge", Subnet: "subnet-1"})
	check.Must(t, err)
	check.Must(t, check.ErrorOf(sim.Assign(eni.ID, ec2sim.Request{AddressCount: 1})))
	check.Must(t, check.ErrorOf(sim.Assign(eni.ID, ec2sim.Request{PrefixCount: 1})))
	return sim, NewEC2(ec2.New(ec2.Options{
		Region: "eu-west-1", BaseEndpoint: &url, Credentials: credentials.NewStaticCredentialsProvider("any", "any", ""),
	}))
}

// objects are a Windows node of the instance, its ConfigMap in prefix mode, and a pod on
// the first address of its prefix.
func objects() (*corev1.Node, *corev1.ConfigMap, *corev1.Pod) {
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "win-1", Labels: map[string]string{vpc.LabelOS: vpc.Windows}},
		Spec:       corev1.NodeSpec{ProviderID: "aws:///eu-west-1a/i-1"},
	}
	cm := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: configMap.Namespace, Name: configMap.Name},
		Data:       map[string]string{settings.KeyEnabled: "true", settings.KeyPrefixDelegation: "true"},
	}
	one := corev1.ResourceList{vpc.Resource: resource.MustParse("1")}
	return n, cm, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "1", Annotations: map[string]string{vpc.Annotation: "10.0.0.16/32"}},
		Spec:       corev1.PodSpec{NodeName: "win-1", Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{Requests: one}}}},
	}
}

// builder makes a client of the API server.
func builder(t *testing.T, o ...client.Object) *crfake.ClientBuilder {
	t.Helper()
	scheme := runtime.NewScheme()
	check.Must(t, errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)))
	return crfake.NewClientBuilder().WithScheme(scheme).WithObjects(o...)
}

func TestRead(t *testing.T) {
	_, ec2 := simulated(t)
	n, cm, p := objects()
	done := p.DeepCopy()
	done.Name, done.UID, done.Status.Phase = "done", "2", corev1.PodSucceeded
	odd := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "win-2", Labels: n.Labels}}
	cools := &v1alpha1.NodeSlots{ObjectMeta: metav1.ObjectMeta{Name: "win-1"}, Status: v1alpha1.NodeSlotsStatus{Cooling: 4}}
	kube := builder(t, n, odd, cm, p, done, cools).Build()
	c, err := Read(t.Context(), kube, ec2, configMap)
	check.Must(t, err)
	want := Totals{Nodes: 1, Odd: 1, Pods: 1, InUse: 1, Cooling: 4, Promised: 224, There: 13 * 16, Gap: 16, Hang: 16} // one slot has a secondary IP
	if diff := cmp.Diff(want, c.Totals); diff != "" {
		t.Errorf("totals (-want +got):\n%s", diff)
	}
	if c.Mode != "prefix" || !c.Enabled || c.Nodes[1].Why == "" {
		t.Errorf("mode %s, enabled %t, win-2 %+v", c.Mode, c.Enabled, c.Nodes[1])
	}
}

// TestReadSaysWhatToDo: every error ends with a way out.
func TestReadSaysWhatToDo(t *testing.T) {
	sim, ec2 := simulated(t)
	n, cm, p := objects()
	forbidden := func(kind string) client.Reader {
		refuse := func(o any) error {
			if strings.Contains(strings.ToLower(schemaOf(o)), kind) {
				return apierrors.NewForbidden(schema.GroupResource{Resource: kind + "s"}, "", errors.New("no"))
			}
			return nil
		}
		return builder(t, n, cm, p).WithInterceptorFuncs(interceptor.Funcs{
			List: func(ctx context.Context, c client.WithWatch, l client.ObjectList, o ...client.ListOption) error {
				if err := refuse(l); err != nil {
					return err
				}
				return c.List(ctx, l, o...)
			},
			Get: func(ctx context.Context, c client.WithWatch, k client.ObjectKey, x client.Object, o ...client.GetOption) error {
				if err := refuse(x); err != nil {
					return err
				}
				return c.Get(ctx, k, x, o...)
			},
		}).Build()
	}
	for kind, want := range map[string]string{
		"configmap": "kubectl auth can-i get configmaps -n kube-system",
		"nodelist":  "kubectl auth can-i list nodes",
		"podlist":   "kubectl auth can-i list pods --all-namespaces",
	} {
		if _, err := Read(t.Context(), forbidden(kind), ec2, configMap); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("where %s is forbidden the error is %v; want %q in it", kind, err, want)
		}
	}
	sim.Inject(ec2sim.Fault{Kind: ec2sim.Refuse, Action: "DescribeSubnets", Code: "UnauthorizedOperation"})
	if _, err := Read(t.Context(), builder(t, n, cm, p).Build(), ec2, configMap); err == nil || !strings.Contains(err.Error(), "allow ec2:DescribeSubnets") {
		t.Errorf("where EC2 refuses everything the error is %v", err)
	}
}

func schemaOf(o any) string {
	switch o.(type) {
	case *corev1.ConfigMap:
		return "configmap"
	case *corev1.NodeList:
		return "nodelist"
	case *corev1.PodList:
		return "podlist"
	}
	return ""
}

// told is what a watch has told last.
type told struct {
	mu sync.Mutex
	c  *Cluster
}

func (x *told) tell(c *Cluster) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.c = c
}

// await waits until a cluster is told that is as wanted.
func (x *told) await(t *testing.T, what string, is func(*Cluster) bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		x.mu.Lock()
		c := x.c
		x.mu.Unlock()
		if c != nil && is(c) {
			return
		}
	}
	t.Fatalf("no cluster is told in which %s; the last is %+v", what, x.c)
}

func TestWatch(t *testing.T) {
	sim, ec2 := simulated(t)
	n, cm, p := objects()
	kube := fake.NewClientset(n, cm, p)
	ctx, cancel := context.WithCancel(t.Context())
	var x told
	ended := make(chan error)
	go func() {
		ended <- Watch(ctx, Options{Kube: kube, Reader: builder(t).Build(), EC2: ec2, ConfigMap: configMap, Every: time.Second}, x.tell)
	}()
	x.await(t, "the pod holds its address", func(c *Cluster) bool { return c.Totals.InUse == 1 && c.Nodes[0].Prefixes == 1 })

	check.Must(t, kube.CoreV1().Pods("shop").Delete(ctx, "web", metav1.DeleteOptions{}))
	x.await(t, "its address cools", func(c *Cluster) bool {
		a := c.Nodes[0].Blocks[1].Addresses[0] // after the secondary IP
		return c.Totals.InUse == 0 && a.State == Cooling && time.Until(a.Until) > 20*time.Second
	})

	check.Must(t, check.ErrorOf(sim.AddInstance(ec2sim.Instance{ID: "i-2", Type: "t3.medium", Subnet: "subnet-1"})))
	second := n.DeepCopy()
	second.Name, second.Spec.ProviderID = "win-2", "aws:///eu-west-1a/i-2"
	check.Must(t, check.ErrorOf(kube.CoreV1().Nodes().Create(ctx, second, metav1.CreateOptions{})))
	x.await(t, "there are two nodes", func(c *Cluster) bool { return c.Totals.Nodes == 2 })

	cm.Data[settings.KeyPrefixDelegation] = "false"
	check.Must(t, check.ErrorOf(kube.CoreV1().ConfigMaps(cm.Namespace).Update(ctx, cm, metav1.UpdateOptions{})))
	x.await(t, "the mode is switched", func(c *Cluster) bool { return c.Totals.Promised == 14+5 })

	sim.Inject(ec2sim.Fault{Kind: ec2sim.Refuse, Action: "DescribeSubnets", Code: "UnauthorizedOperation"})
	x.await(t, "EC2 refuses, and what it showed stays", func(c *Cluster) bool { return c.Trouble != "" && c.Totals.Nodes == 2 })
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("the watch ends with %v", err)
	}
}

// TestWatchLooksSoon: a Node that joins does not wait until EC2 is asked again.
func TestWatchLooksSoon(t *testing.T) {
	_, ec2 := simulated(t)
	n, cm, _ := objects()
	kube := fake.NewClientset(cm)
	var x told
	go func() {
		_ = Watch(t.Context(), Options{Kube: kube, Reader: builder(t).Build(), EC2: ec2, ConfigMap: configMap, Every: time.Hour}, x.tell)
	}()
	x.await(t, "there is nothing", func(c *Cluster) bool { return len(c.Nodes) == 0 })
	check.Must(t, check.ErrorOf(kube.CoreV1().Nodes().Create(t.Context(), n, metav1.CreateOptions{})))
	x.await(t, "the node is known", func(c *Cluster) bool { return c.Totals.Nodes == 1 })
}

// TestStore: a pod is remembered while its address cools, and no longer.
func TestStore(t *testing.T) {
	n, _, p := objects()
	nodes := []*corev1.Node{n}
	changes := 0
	s := newStore(func() { changes++ })
	s.see(p, now)
	if byNode, resting := s.of(nodes, now); len(byNode["win-1"]) != 1 || resting {
		t.Errorf("of one pod that lives the store has %v, resting %t", byNode, resting)
	}
	s.see(p, now.Add(time.Second))
	if changes != 1 {
		t.Errorf("%d changes, want 1: the same pod is no news", changes)
	}
	p.DeletionTimestamp = &metav1.Time{Time: now}
	s.see(p, now.Add(time.Second))
	if byNode, _ := s.of(nodes, now); changes != 2 || !byNode["win-1"][0].Seen.Equal(now) {
		t.Errorf("%d changes, want 2; %v has had its address since %s", changes, byNode, now)
	}
	p.Status.Phase = corev1.PodSucceeded
	s.see(p, now.Add(2*time.Second))
	s.end(p, now.Add(3*time.Second))
	byNode, resting := s.of(nodes, now.Add(4*time.Second))
	if len(byNode["win-1"]) != 1 || !resting || !byNode["win-1"][0].Ended.Equal(now.Add(2*time.Second)) {
		t.Errorf("of a pod that has ended the store has %v, resting %t; want its first end", byNode, resting)
	}
	if byNode, _ := s.of(nodes, now.Add(2*time.Second+forgetAfter+1)); len(byNode["win-1"]) != 0 {
		t.Errorf("long after its end the store has %v", byNode)
	}
	bare := p.DeepCopy()
	bare.UID, bare.Annotations, bare.Status.Phase = "2", nil, corev1.PodRunning
	s.see(bare, now)
	s.end(bare, now)
	if len(s.pods["win-1"]) != 0 {
		t.Errorf("of a pod without an address %v is kept after its end", s.pods)
	}
}
