// Package faults tests what Slotwise does when EC2 fails, when the API server
// fails, and when a process of its own ends, in whatever way.
//
// What follows from the allocator's own decisions the simulation shows, in virtual
// time and by the thousand (package sim). Here is what only a real API server, the
// real clients and real connections can show: one or a few cases of each kind.
//
// Most tests run the allocator in this process, wired as cmd/slotwise does it
// (see harness): the real cloud client speaks HTTP to a simulated EC2 of the
// test's own, the Kubernetes clients to one API server that all tests share, and
// both connections can be cut, delayed and tampered with (see wire). There is no
// scheduler: tests ask for the binds themselves, and see every answer. Where
// signals and locks between processes matter, whole processes run (see testenv).
//
// A witness that shares no code with Slotwise watches the pods of each test, which
// ends with its judgement. Tests run in parallel, in subnets of ranges of their own.
//
// Only tests come in. One that proves an invariant (design: I1 to I10) says so in its
// name.
package faults

import (
	"context"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/api/v1alpha1"
	"slotwise.dev/slotwise/manifests"
	"slotwise.dev/slotwise/test/controlplane"
	"slotwise.dev/slotwise/test/revision"
	"slotwise.dev/slotwise/test/testenv"
)

var (
	// shared is the API server of all tests, with what reads it; no process of
	// Slotwise, no scheduler and no EC2 belong to it.
	shared *testenv.Env
	// clock tells all witnesses when the API server wrote something.
	clock revision.Clock
)

func TestMain(m *testing.M) {
	controlplane.Quiet()
	// By default as many tests as there are processors run in parallel. These
	// wait more than they compute. More of them at once, and an API server on two
	// processors no longer answers in time.
	if err := flag.Set("test.parallel", "20"); err != nil {
		panic(err)
	}
	watching, end := context.WithCancel(context.Background())
	code := controlplane.Main(m, controlplane.Options{}, func(ctx context.Context, c *controlplane.Cluster) (err error) {
		shared = &testenv.Env{Cluster: c}
		if shared.Kube, err = client.New(c.Admin, client.Options{Scheme: scheme}); err != nil {
			return err
		}
		go clock.Run(watching, c.Client)
		return installNodeSlots(ctx)
	})
	end()
	os.Exit(code)
}

// scheme is that of cmd/slotwise.
var scheme = func() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(s); err != nil {
			panic(err)
		}
	}
	return s
}()

// installNodeSlots installs the definition of NodeSlots as it is shipped.
func installNodeSlots(ctx context.Context) error {
	objects, err := manifests.Build("base")
	if err != nil {
		return err
	}
	objects = slices.DeleteFunc(objects, func(o *unstructured.Unstructured) bool {
		return o.GetKind() != "CustomResourceDefinition"
	})
	if err := manifests.Apply(ctx, shared.Kube, objects); err != nil {
		return err
	}
	return shared.Until(ctx, "NodeSlots can be read", func(ctx context.Context) error {
		return shared.Kube.List(ctx, &v1alpha1.NodeSlotsList{})
	})
}

// starts spreads the beginnings of tests that run in parallel, which are the most of
// their work.
var starts = rate.NewLimiter(rate.Every(250*time.Millisecond), 1)

// ranges counts the ranges that tests have taken.
var ranges atomic.Uint32

// freshRange is a range of addresses that no other test has, so that an address in a
// log is of one test only.
func freshRange(bits int) netip.Prefix {
	n := ranges.Add(1)
	if n >= 1<<12 || bits < 20 {
		panic(fmt.Sprintf("no range left for a /%d", bits))
	}
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n >> 4), byte(n << 4), 0}), bits)
}
