package allocator

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/events"
	ctrlfake "sigs.k8s.io/controller-runtime/pkg/client/fake"
)

// I2: the cooldown of addresses that may have been in use begins once all pods are
// known: one that ended before would not be seen.
func TestI2NodeIsOpenedOncePodsAreRead(t *testing.T) {
	_, ec2 := simulated(t)
	a := New(Options{
		Cloud: ec2, Kube: fake.NewClientset(), Client: ctrlfake.NewClientBuilder().Build(), Events: events.NewFakeRecorder(100),
		Metrics: NewMetrics(prometheus.NewRegistry()), Log: logr.Discard(), Held: func() bool { return true },
	})
	n := newNode(a, "win-1", "i-1")
	early, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := n.read(early); !errors.Is(err, context.DeadlineExceeded) || n.known {
		t.Fatalf("read before the pods are: %v, known: %t", err, n.known)
	}
	if err := a.pods.Replace(nil, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := n.read(t.Context()); err != nil || !n.ready {
		t.Errorf("read once the pods are: %v, ready: %t", err, n.ready)
	}
}
