package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	certutil "k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"

	"slotwise.dev/slotwise/manifests"
	"slotwise.dev/slotwise/test/controlplane"
)

var (
	// cluster has the webhook's configuration; it leads to the webhook of this process.
	cluster *controlplane.Cluster

	// sent counts the pods that the API server has sent.
	sent atomic.Int64

	// enabled is enable-windows-ipam.
	enabled atomic.Bool

	// away has the server close each connection unanswered, untold has it not know
	// enable-windows-ipam.
	away, untold atomic.Bool
)

var errUntold = errors.New("the ConfigMap cannot be read")

const schedulerName = "slotwise-scheduler"

func TestMain(m *testing.M) {
	rest.SetDefaultWarningHandler(rest.NoWarnings{}) // of the old label
	url, ca, err := serve(context.Background())      // as long as the process
	if err != nil {
		fmt.Fprintln(os.Stderr, "serve the webhook:", err)
		os.Exit(1)
	}
	os.Exit(controlplane.Main(m, controlplane.Options{}, func(ctx context.Context, c *controlplane.Cluster) error {
		cluster = c
		return errors.Join(install(ctx, url, ca), awaitWebhook(ctx))
	}))
}

// serve starts the webhook's server and returns its URL and who vouches for it.
func serve(ctx context.Context) (url string, ca []byte, err error) {
	cert, key, err := certutil.GenerateSelfSignedCertKey("127.0.0.1", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		return "", nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return "", nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	port := listener.Addr().(*net.TCPAddr).Port
	if err := listener.Close(); err != nil {
		return "", nil, err
	}
	server := ctrlwebhook.NewServer(ctrlwebhook.Options{Host: "127.0.0.1", Port: port, TLSOpts: []func(*tls.Config){
		func(c *tls.Config) {
			c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &pair, nil }
		},
	}})
	Register(counting{server}, scheme.Scheme, Options{
		Enabled: func(context.Context) (bool, error) {
			if untold.Load() {
				return false, errUntold
			}
			return enabled.Load(), nil
		},
		SchedulerName: schedulerName,
	})
	go func() {
		if err := server.Start(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "webhook server:", err)
		}
	}()
	started := func(context.Context) (bool, error) { return server.StartedChecker()(nil) == nil, nil }
	err = wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, 10*time.Second, true, started)
	return fmt.Sprintf("https://127.0.0.1:%d", port), cert, err
}

// counting counts in sent what the server's webhooks are asked, and is away at times.
type counting struct{ ctrlwebhook.Server }

func (c counting) Register(path string, hook http.Handler) {
	c.Server.Register(path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent.Add(1)
		if away.Load() {
			panic(http.ErrAbortHandler)
		}
		hook.ServeHTTP(w, r)
	}))
}

// install applies the webhook's configuration. No Service leads anywhere in here, so
// the API server is sent to the URL instead.
func install(ctx context.Context, url string, ca []byte) error {
	c, err := client.New(cluster.Admin, client.Options{})
	if err != nil {
		return err
	}
	objects, err := manifests.Build("webhook")
	if err != nil {
		return err
	}
	if err := manifests.RedirectWebhook(objects, url, ca); err != nil {
		return err
	}
	for _, o := range objects {
		if err := leaveToPolicies(o); err != nil {
			return err
		}
	}
	return errors.Join(manifests.Apply(ctx, c, objects), installPolicies(ctx, c))
}

// leaveToPolicies keeps the first webhook out of the namespaces in which the policies
// that do the same are under test.
func leaveToPolicies(o *unstructured.Unstructured) error {
	webhooks, _, err := unstructured.NestedSlice(o.Object, "webhooks")
	if err != nil {
		return err
	}
	path := []string{"namespaceSelector", "matchExpressions"}
	first := webhooks[0].(map[string]any)
	expressions, _, err := unstructured.NestedSlice(first, path...)
	if err != nil {
		return err
	}
	expressions = append(expressions, map[string]any{
		"key": corev1.LabelMetadataName, "operator": "NotIn", "values": []any{byPolicy, byPlainPolicy},
	})
	return errors.Join(unstructured.SetNestedSlice(first, expressions, path...), unstructured.SetNestedSlice(o.Object, webhooks, "webhooks"))
}

// awaitWebhook returns once the API server asks the webhook and goes by the policies,
// which it does a moment after it was told to.
func awaitWebhook(ctx context.Context) error {
	windows := corev1.PodSpec{
		OS:         &corev1.PodOS{Name: corev1.Windows},
		Containers: []corev1.Container{{Name: "main", Image: "pause"}},
	}
	return wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		_, seen, _ := create(ctx, metav1.NamespaceDefault, windows)
		for _, namespace := range []string{byPolicy, byPlainPolicy} {
			pod, _, err := create(ctx, namespace, windows)
			seen = seen && err == nil && requested(pod) == 1
		}
		return seen, nil
	})
}
