// Package e2e tests Slotwise from end to end: a real control plane with a real
// kube-scheduler, Slotwise as a process of its own, installed from manifests/,
// and a simulated EC2 behind the unmodified AWS SDK (package testenv).
//
// Tests that leave the cluster's settings alone share one system, in prefix
// mode, and take a namespace and a group of nodes each; see shared. The others,
// and those in which nothing else may happen, start one of their own; see start.
// All run in parallel: they mostly wait for addresses to cool down.
//
// Only tests come in. A test that proves one of the invariants of the
// system says so in its name.
package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"slotwise.dev/slotwise/allocator/settings"
	"slotwise.dev/slotwise/test/controlplane"
	"slotwise.dev/slotwise/test/ec2sim"
	"slotwise.dev/slotwise/test/testenv"
)

// startTimeout limits the start of a system, several of which may start at once.
const startTimeout = 3 * time.Minute

func TestMain(m *testing.M) {
	controlplane.Quiet()
	// By default as many tests as there are processors run in parallel. These
	// wait more than they compute.
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	code := m.Run()
	if err := common.stop(code == 0); err != nil {
		fmt.Fprintln(os.Stderr, "the shared system:", err)
		code = 1
	}
	os.Exit(code)
}

// system is a running environment, watched.
type system struct {
	*testenv.Env
	observer *testenv.Observer
	end      context.CancelFunc
}

// Instance types that are full sooner than any that there is.
var (
	oneSlot  = ec2sim.Type{Name: "one.slot", Interfaces: 2, Addresses: 2, Hypervisor: ec2sim.Nitro}
	twoSlots = ec2sim.Type{Name: "two.slots", Interfaces: 2, Addresses: 3, Hypervisor: ec2sim.Nitro}
)

// ec2 is EC2 as slow as it is.
var ec2 = ec2sim.Options{
	Latency: map[string]ec2sim.Latency{
		ec2sim.AnyAction:           {Mean: 80 * time.Millisecond, Jitter: 20 * time.Millisecond},
		"AssignPrivateIpAddresses": {Mean: 300 * time.Millisecond, Jitter: 100 * time.Millisecond},
	},
	Types: append(ec2sim.Types(), oneSlot, twoSlots),
}

// newSystem starts a system.
func newSystem(options testenv.Options) (*system, error) {
	starting, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	options.EC2 = ec2
	e, err := testenv.Start(starting, options)
	if err != nil {
		return nil, err
	}
	watching, end := context.WithCancel(context.Background())
	return &system{Env: e, observer: e.Observe(watching), end: end}, nil
}

// stop ends the system, and says what was wrong with it. Unless all was well
// its logs are kept.
func (s *system) stop(well bool) error {
	s.end()
	var errs []error
	if !well {
		errs = append(errs, errors.New("a test failed"))
	}
	for _, breach := range s.observer.Breaches() {
		errs = append(errs, errors.New(breach))
	}
	if len(errs) > 0 {
		return s.Fail(errors.Join(errs...))
	}
	return s.Stop()
}

// prefixMode are the settings of a system in prefix mode. Without them it is in
// secondary IP mode.
var prefixMode = map[string]string{settings.KeyPrefixDelegation: "true"}

// systems has a place for each system of one test that may run at a time, beside the
// shared one: with more the leases of their replicas are not renewed in time on a
// small machine.
var systems = make(chan struct{}, 4)

// start starts a system for one test.
func start(t *testing.T, options testenv.Options) *system {
	t.Helper()
	systems <- struct{}{}
	t.Cleanup(func() { <-systems })
	s, err := newSystem(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.stop(!t.Failed()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// common is the system that tests share.
var common sharing

type sharing struct {
	once sync.Once
	*system
	err error
}

// shared is the system of the tests that leave the settings alone. It is in
// prefix mode.
func shared(t *testing.T) *system {
	t.Helper()
	common.once.Do(func() { common.system, common.err = newSystem(testenv.Options{Settings: prefixMode}) })
	if common.err != nil {
		t.Fatal(common.err)
	}
	return common.system
}

func (c *sharing) stop(well bool) error {
	if c.system == nil {
		return nil
	}
	refused := c.EC2.Errors()
	delete(refused, ec2sim.CodeInsufficientBlocks) // which a test looks into
	if len(refused) > 0 {
		return c.Fail(fmt.Errorf("I3: EC2 answered %v", refused))
	}
	return c.system.stop(well)
}

// namespace makes a namespace for one test, whose pods are all bound through the
// extender: at the end of the test none of them was ever bound without its
// address (I4), and each has it on its node.
func (s *system) namespace(t *testing.T) string {
	t.Helper()
	name := s.NewNamespace(t)
	t.Cleanup(func() {
		for _, pod := range s.observer.Bare() {
			if strings.HasPrefix(pod, name+"/") {
				t.Errorf("I4: %s was bound without an address", pod)
			}
		}
		if err := s.Check(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return name
}
