package controlplane

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
)

// setupTimeout limits the start of a cluster for tests, and the cleaning up after
// each.
const setupTimeout = 2 * time.Minute

// Main is for the TestMain of a package whose tests share one cluster:
//
//	var cluster *controlplane.Cluster
//
//	func TestMain(m *testing.M) {
//		os.Exit(controlplane.Main(m, controlplane.Options{}, func(_ context.Context, c *controlplane.Cluster) error {
//			cluster = c
//			return nil
//		}))
//	}
//
// setup may also start what all tests need. Each test then takes a namespace and
// nodes of its own, by [Cluster.NewNamespace] and [Cluster.NewNode]. Where a test
// fails, the folder with the logs is kept and named.
func Main(m *testing.M, options Options, setup func(context.Context, *Cluster) error) (code int) {
	ctx, cancel := context.WithTimeout(context.Background(), setupTimeout)
	defer cancel()
	c, err := Start(ctx, options)
	if err != nil {
		fmt.Fprintln(os.Stderr, "start the control plane:", err)
		return 1
	}
	defer func() {
		if code != 0 {
			c.Keep()
			fmt.Fprintln(os.Stderr, "logs of the control plane:", c.LogDir())
		}
		if err := c.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stop the control plane:", err)
			code = 1
		}
	}()
	if err := setup(ctx, c); err != nil {
		fmt.Fprintln(os.Stderr, "set the cluster up:", err)
		return 1
	}
	return m.Run()
}

// NewNamespace creates a namespace for one test, named after it, and returns its
// name. The pods in it go with the test.
func (c *Cluster) NewNamespace(t testing.TB) string {
	t.Helper()
	name := uniqueName(t)
	if err := c.CreateNamespace(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	cleanup(t, func(ctx context.Context) error {
		return c.Client.CoreV1().Pods(name).DeleteCollection(ctx, now, metav1.ListOptions{})
	})
	return name
}

// NewNode adds a node for one test; without a name it is named after the test. It
// goes with the test.
func (c *Cluster) NewNode(t testing.TB, n Node) *corev1.Node {
	t.Helper()
	if n.Name == "" {
		n.Name = uniqueName(t)
	}
	node, err := c.AddNode(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	cleanup(t, func(ctx context.Context) error { return c.DeleteNode(ctx, n.Name) })
	return node
}

// now deletes without a grace period, as if by force.
var now = metav1.DeleteOptions{GracePeriodSeconds: new(int64)}

func cleanup(t testing.TB, clean func(context.Context) error) {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), setupTimeout)
		defer cancel()
		if err := clean(ctx); err != nil {
			t.Error(err)
		}
	})
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// uniqueName makes a name for objects of a test, at most 50 characters long.
func uniqueName(t testing.TB) string {
	name := notInNames.ReplaceAllString(strings.ToLower(t.Name()), "-")
	return strings.Trim(name[:min(len(name), 44)], "-") + "-" + rand.String(5)
}
