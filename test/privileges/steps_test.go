package privileges

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/api/v1alpha1"
	"slotwise.dev/slotwise/allocator/events"
	"slotwise.dev/slotwise/allocator/settings"
	"slotwise.dev/slotwise/allocator/vpc"
	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/controlplane"
	"slotwise.dev/slotwise/test/testenv"
)

// scrapeStandby has the standby serve its metrics beyond loopback, as it does in a
// cluster, and reads them as Prometheus does.
func scrapeStandby(t *testing.T, e *testenv.Env) {
	t.Helper()
	standby := e.Replicas[1]
	check.Must(t, standby.Stop())
	check.Must(t, e.AwaitLeading(t.Context(), e.Replicas[0]))
	port, err := controlplane.FreePort()
	check.Must(t, err)
	standby.Args = []string{fmt.Sprintf("--metrics-address=:%d", port)}
	check.Must(t, standby.Start(t.Context()))
	check.Must(t, scrape(t.Context(), prometheus(t, e), e, port))
}

// scrape reads metrics with Prometheus's token, over TLS that Slotwise's CA
// vouches for.
func scrape(ctx context.Context, token string, e *testenv.Env, port int) error {
	secret, err := e.Client.CoreV1().Secrets(testenv.Namespace).Get(ctx, "slotwise-scheduler-client", metav1.GetOptions{})
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(secret.Data["ca.crt"])
	transport := &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("https://localhost:%d/metrics", port), http.NoBody)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("metrics are answered %s", answer.Status)
	}
	return errors.Join(err, answer.Body.Close())
}

// prometheus makes a ServiceAccount that may read metrics, as the comment of
// manifests/monitoring says, and returns its token.
func prometheus(t *testing.T, e *testenv.Env) string {
	t.Helper()
	const name, namespace = "metrics-reader", "default"
	meta := metav1.ObjectMeta{Name: name}
	check.Must(t, e.Kube.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}}))
	check.Must(t, e.Kube.Create(t.Context(), &rbacv1.ClusterRole{
		ObjectMeta: meta,
		Rules:      []rbacv1.PolicyRule{{Verbs: []string{"get"}, NonResourceURLs: []string{"/metrics"}}},
	}))
	check.Must(t, e.Kube.Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: meta,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: name, Namespace: namespace}},
	}))
	request, err := e.Client.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	check.Must(t, err)
	return request.Status.Token
}

// misspell writes a setting that cannot be read, and waits until that is said.
func misspell(t *testing.T, e *testenv.Env, configMap types.NamespacedName) {
	t.Helper()
	check.Must(t, e.Configure(t.Context(), map[string]string{settings.KeyEnabled: "true", settings.KeyWarmIPTarget: "many"}))
	check.Must(t, e.AwaitEvent(t.Context(), "ConfigMap", configMap.Namespace, configMap.Name, events.ReasonInvalidSetting, "many"))
}

// disown takes a node's NodeSlots object from its Node, and waits until it is the Node's
// again.
func disown(t *testing.T, e *testenv.Env, node string) {
	t.Helper()
	o := nodeSlots(node)
	check.Must(t, e.Kube.Patch(t.Context(), o, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"ownerReferences":null}}`))))
	check.Must(t, e.Until(t.Context(), "NodeSlots is its Node's", func(ctx context.Context) error {
		err := e.Kube.Get(ctx, client.ObjectKeyFromObject(o), o)
		if err == nil && len(o.GetOwnerReferences()) == 0 {
			err = errors.New("it is nobody's")
		}
		return err
	}))
}

// rename has a node's kubelet register a second time, under another name, and waits
// until that one offers its slots; then the second Node goes again.
func rename(t *testing.T, e *testenv.Env, node string) {
	t.Helper()
	var first corev1.Node
	check.Must(t, e.Kube.Get(t.Context(), client.ObjectKey{Name: node}, &first))
	second := controlplane.Node{Name: node + "-renamed", ProviderID: first.Spec.ProviderID, InstanceType: "t3.large", Windows: true}
	check.Must(t, check.ErrorOf(e.Cluster.AddNode(t.Context(), second)))
	awaitNodeSlots(t, e, second.Name)
	check.Must(t, e.Until(t.Context(), "the first Node has no NodeSlots", func(ctx context.Context) error {
		err := e.Kube.Get(ctx, client.ObjectKey{Name: node}, nodeSlots(node))
		if err == nil {
			err = errors.New("it has")
		}
		return client.IgnoreNotFound(err)
	}))
	check.Must(t, e.DeleteNode(t.Context(), second.Name))
	awaitNodeSlots(t, e, node)
}

func nodeSlots(name string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("NodeSlots"))
	o.SetName(name)
	return o
}

// bindNobody has a pod bound that has gone since it was scheduled: what became of
// it is looked up.
func bindNobody(t *testing.T, e *testenv.Env, namespace, node string) {
	t.Helper()
	leader, err := e.Leader(t.Context())
	check.Must(t, err)
	extender, err := e.Extender(t.Context(), leader)
	check.Must(t, err)
	gone := testenv.Pod(namespace, "gone")
	gone.UID = "gone"
	if err := extender.Bind(t.Context(), gone, node); err == nil {
		t.Error("a pod that is not there was bound")
	}
}

// bindByOthers binds a pod past the extender, and waits until it has its address.
func bindByOthers(t *testing.T, e *testenv.Env, namespace, node string) {
	t.Helper()
	check.Must(t, e.CreatePods(t.Context(), namespace, "other", 1, testenv.Scheduler("nobody")))
	check.Must(t, e.Client.CoreV1().Pods(namespace).Bind(t.Context(), &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "other-0"},
		Target:     corev1.ObjectReference{Kind: "Node", Name: node},
	}, metav1.CreateOptions{}))
	check.Must(t, e.Until(t.Context(), "the pod that others bound has its address", func(ctx context.Context) error {
		var p corev1.Pod
		err := e.Kube.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "other-0"}, &p)
		if err == nil && p.Annotations[vpc.Annotation] == "" {
			err = fmt.Errorf("it has the annotations %v", p.Annotations)
		}
		return err
	}))
}

// double gives the pod twin the address of another, as an old leader that was
// frozen for longer than its lease might, and waits until one of them is evicted.
func double(t *testing.T, e *testenv.Env, namespace, of, twin string) {
	t.Helper()
	var p corev1.Pod
	check.Must(t, e.Kube.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: of}, &p))
	config := rest.CopyConfig(e.Admin)
	config.Impersonate = rest.ImpersonationConfig{UserName: user(slotwise)}
	kube, err := kubernetes.NewForConfig(config)
	check.Must(t, err)
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, vpc.Annotation, p.Annotations[vpc.Annotation])
	check.Must(t, check.ErrorOf(kube.CoreV1().Pods(namespace).Patch(t.Context(), twin, types.MergePatchType, patch, metav1.PatchOptions{})))
	check.Must(t, e.Until(t.Context(), "one of two pods with one address is evicted", func(ctx context.Context) error {
		var pods corev1.PodList
		if err := e.Kube.List(ctx, &pods, client.InNamespace(namespace)); err != nil {
			return err
		}
		live := 0
		for _, p := range pods.Items {
			if (p.Name == of || p.Name == twin) && p.DeletionTimestamp == nil {
				live++
			}
		}
		if live == 2 {
			return fmt.Errorf("%s and %s are both there", of, twin)
		}
		return nil
	}))
}

// managedController turns AWS's managed controller on or off, and waits until
// Slotwise stands aside, or works on.
func managedController(t *testing.T, e *testenv.Env, namespace string, on bool) {
	t.Helper()
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: testenv.ConfigMap.Namespace, Name: testenv.ConfigMap.Name}}
	check.Must(t, client.IgnoreAlreadyExists(e.Kube.Create(t.Context(), cm.DeepCopy())))
	patch := fmt.Appendf(nil, `{"data":{%q:"%t"}}`, settings.KeyEnabled, on)
	check.Must(t, e.Kube.Patch(t.Context(), cm, client.RawPatch(types.MergePatchType, patch)))
	what := fmt.Sprintf("Windows pods are left alone: %t", on)
	check.Must(t, e.Until(t.Context(), what, func(ctx context.Context) error {
		p := testenv.Pod(namespace, "probe")
		if err := e.Kube.Create(ctx, p, client.DryRunAll); err != nil {
			return err
		}
		if _, asks := p.Spec.Containers[0].Resources.Requests[vpc.Resource]; asks == on {
			return fmt.Errorf("one asks for an address: %t", asks)
		}
		return nil
	}))
}

// awaitNodeSlots waits until a node's slots are shown.
func awaitNodeSlots(t *testing.T, e *testenv.Env, node string) {
	t.Helper()
	o := nodeSlots(node)
	check.Must(t, e.Until(t.Context(), "NodeSlots shows "+node, func(ctx context.Context) error {
		if err := e.Kube.Get(ctx, client.ObjectKey{Name: node}, o); err != nil {
			return err
		}
		if _, shown, err := unstructured.NestedInt64(o.Object, "status", "slots"); err != nil || !shown {
			return errors.Join(errors.New("it has no status"), err)
		}
		return nil
	}))
}
