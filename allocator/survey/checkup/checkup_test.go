package checkup

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"slotwise.dev/slotwise/allocator/config"
	"slotwise.dev/slotwise/allocator/settings"
	"slotwise.dev/slotwise/allocator/survey"
)

var now = time.Now()

const namespace = "slotwise-system"

// certificate is one that is good for so long.
func certificate(t *testing.T, lives time.Duration) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: now.Add(lives)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// world is a cluster in which all is well.
type world struct {
	version    string
	configMap  *corev1.ConfigMap
	deployment *appsv1.Deployment
	lease      *coordinationv1.Lease
	webhook    *admissionregistrationv1.MutatingWebhookConfiguration
	secret     *corev1.Secret
	more       []client.Object
	cluster    *survey.Cluster
	denied     string // what may not be created, or be read
}

func wellWorld(t *testing.T) *world {
	in := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: namespace, Name: name} }
	cm := config.ManagedConfigMap
	return &world{
		version:    "v1.37.2",
		configMap:  &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: cm.Namespace, Name: cm.Name}, Data: map[string]string{settings.KeyEnabled: "true"}},
		deployment: &appsv1.Deployment{ObjectMeta: in("slotwise"), Spec: appsv1.DeploymentSpec{Replicas: new(int32(2))}, Status: appsv1.DeploymentStatus{AvailableReplicas: 2}},
		lease: &coordinationv1.Lease{ObjectMeta: in("slotwise"), Spec: coordinationv1.LeaseSpec{
			HolderIdentity: new("slotwise-1"), LeaseDurationSeconds: new(int32(15)), RenewTime: &metav1.MicroTime{Time: now.Add(-2 * time.Second)},
		}},
		webhook: &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "slotwise"}, Webhooks: []admissionregistrationv1.MutatingWebhook{
			{Name: "pods.slotwise.dev", ClientConfig: admissionregistrationv1.WebhookClientConfig{CABundle: certificate(t, 1000*time.Hour)}},
		}},
		secret:  &corev1.Secret{ObjectMeta: in("slotwise-scheduler-client"), Data: map[string][]byte{corev1.TLSCertKey: certificate(t, 1000*time.Hour)}},
		cluster: &survey.Cluster{Nodes: []survey.Node{{Name: "win-1", There: 74, MaxPods: 110}}, Subnets: []survey.Subnet{{ID: "subnet-a"}}},
	}
}

func (w *world) inputs() Inputs {
	objects := append([]client.Object{}, w.more...)
	objects = append(objects, w.configMap)
	if w.deployment != nil {
		objects = append(objects, w.deployment, w.lease, w.webhook, w.secret, &flowcontrolv1.FlowSchema{ObjectMeta: metav1.ObjectMeta{Name: "slotwise"}})
	}
	w.cluster.Totals = survey.Sum(w.cluster.Nodes)
	kube := fake.NewClientBuilder().WithObjects(objects...).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(_ context.Context, _ client.WithWatch, o client.Object, _ ...client.CreateOption) error {
			review, is := o.(*authorizationv1.SelfSubjectAccessReview)
			if !is {
				return errors.New("only reviews may be made")
			}
			review.Status.Allowed = review.Spec.ResourceAttributes.Resource != w.denied
			return nil
		},
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if _, is := o.(*corev1.Secret); is && w.denied == "secrets" {
				return apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, key.Name, errors.New("no"))
			}
			return c.Get(ctx, key, o, opts...)
		},
	}).Build()
	return Inputs{Kube: kube, Version: w.version, Cluster: w.cluster, ConfigMap: config.ManagedConfigMap, Namespace: namespace, Now: now}
}

func TestAllIsWell(t *testing.T) {
	w := wellWorld(t)
	for name, findings := range map[string][]Finding{"before": Before(t.Context(), w.inputs()), "after": After(t.Context(), w.inputs())} {
		for _, f := range findings {
			if f.State != Good || f.Fix != "" {
				t.Errorf("%s: %+v", name, f)
			}
		}
		if AnyBad(findings) {
			t.Errorf("%s: something is bad", name)
		}
	}
}

func TestFindings(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*world)
		check  string
		state  State
		want   string
	}{
		"old Kubernetes": {func(w *world) { w.version = "v1.29.9-eks-1" }, "Kubernetes version", Bad, "needs 1.30"},
		"a typing error": {func(w *world) { w.configMap.Data[settings.KeyEnabled] = "ture" }, "ConfigMap", Bad, `"ture" is not`},
		"off":            {func(w *world) { w.configMap.Data = nil }, "ConfigMap", Bad, "off"},
		"AWS's old controller": {func(w *world) {
			w.more = []client.Object{&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: config.OldController.Namespace, Name: config.OldController.Name}}}
		}, "other allocators", Bad, "vpc-resource-controller"},
		"an odd node": {func(w *world) {
			w.cluster.Nodes = append(w.cluster.Nodes, survey.Node{Name: "win-2", Why: "no such instance"})
		}, "Windows nodes", Bad, "1 of 2 could not be looked at; win-2"},
		"no nodes": {func(w *world) { w.cluster.Nodes = nil }, "Windows nodes", Bad, "there are none"},
		"max-pods": {func(w *world) { w.cluster.Nodes[0].There = 144 }, "max-pods", Note, "34 pods more"},
		"a full subnet": {func(w *world) {
			w.cluster.Nodes[0].Subnet, w.cluster.Nodes[0].Short = "subnet-a", 3
		}, "subnets", Bad, "subnet-a has too little room for 1"},
		"a subnet not looked at": {func(w *world) { w.cluster.Subnets[0].Why = "refused" }, "subnets", Bad, "refused"},
		"pods wait":              {func(w *world) { w.cluster.Nodes[0].Waiting = 2 }, "pods without address", Bad, "2 pods"},
		"a strict budget": {func(w *world) {
			w.more = []client.Object{&policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}, Status: policyv1.PodDisruptionBudgetStatus{ExpectedPods: 1}}}
		}, "disruption budgets", Note, "shop/web"},
		"a replica is missing":   {func(w *world) { w.deployment.Status.AvailableReplicas = 1 }, "Deployment", Bad, "1 of 2"},
		"no replica":             {func(w *world) { w.deployment.Status.AvailableReplicas = 0 }, "Deployment", Bad, "no replica"},
		"a silent leader":        {func(w *world) { w.lease.Spec.RenewTime.Time = now.Add(-time.Minute) }, "leader", Bad, "for 1m0s"},
		"no leader":              {func(w *world) { w.lease.Spec.HolderIdentity = nil }, "leader", Bad, "none"},
		"no CA":                  {func(w *world) { w.webhook.Webhooks[0].ClientConfig.CABundle = nil }, "webhook", Bad, "has no CA"},
		"a CA that is no PEM":    {func(w *world) { w.webhook.Webhooks[0].ClientConfig.CABundle = []byte("x") }, "webhook", Bad, "cannot be read"},
		"a certificate near end": {func(w *world) { w.secret.Data[corev1.TLSCertKey] = certificate(t, time.Hour) }, "scheduler's certificate", Bad, "ends at"},
		"old and new together": {func(w *world) {
			w.secret.Data[corev1.TLSCertKey] = append(certificate(t, 1000*time.Hour), certificate(t, -time.Hour)...)
		}, "scheduler's certificate", Good, "a week"},
		"Secrets cannot be read": {func(w *world) { w.denied = "secrets" }, "scheduler's certificate", Unknown, "forbidden"},
	} {
		t.Run(name, func(t *testing.T) {
			w := wellWorld(t)
			c.change(w)
			for _, f := range After(t.Context(), w.inputs()) {
				if f.Check != c.check {
					continue
				}
				if f.State != c.state || !strings.Contains(f.Text, c.want) || f.State != Good && f.Fix == "" {
					t.Errorf("%+v; want %s with %q, and a fix", f, c.state, c.want)
				}
				return
			}
			t.Errorf("there is no finding of %q", c.check)
		})
	}
}

// TestNotInstalled: nothing else of Slotwise is looked for.
func TestNotInstalled(t *testing.T) {
	w := wellWorld(t)
	w.deployment = nil
	findings := After(t.Context(), w.inputs())
	if last := findings[len(findings)-1]; last.Text != notInstalled || len(findings) != len(ofCluster)+1 || !AnyBad(findings) {
		t.Errorf("the last of %d findings is %+v", len(findings), last)
	}
}

func TestPermissions(t *testing.T) {
	w := wellWorld(t)
	w.denied = "clusterroles"
	if f := Before(t.Context(), w.inputs())[0]; f.State != Bad || !strings.Contains(f.Text, "you may not create clusterroles") {
		t.Errorf("%+v", f)
	}
}

func TestPrint(t *testing.T) {
	findings := []Finding{{Check: "webhook", State: Good, Text: "in place"}, {Check: "leader", State: Bad, Text: "none", Fix: "see logs"}}
	var out bytes.Buffer
	if err := Print(&out, findings, "", true); err != nil {
		t.Fatal(err)
	}
	want := "ok       webhook  in place\n\x1b[1;31mbad    \x1b[0m  leader   none\n                  -> see logs\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	out.Reset()
	if err := Print(&out, findings, "yaml", true); err != nil || !strings.Contains(out.String(), "fix: see logs") {
		t.Errorf("yaml is %q, %v", out.String(), err)
	}
	if err := Print(&out, findings, "xml", true); err == nil {
		t.Error("xml is taken for a format")
	}
}
