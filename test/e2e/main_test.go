// Package e2e tests Slotwise from end to end: a real control plane with a real
// kube-scheduler, Slotwise as a process of its own, installed from manifests/,
// and a simulated EC2 behind the unmodified AWS SDK (package testenv).
//
// What follows from the allocator's own decisions the simulation shows, in virtual
// time and by the thousand (package sim). Here is one story of each kind, on the real
// thing.
//
// Tests that leave the cluster's settings alone share one environment, in prefix
// mode, and take a namespace and a group of nodes each; see shared. The others,
// and those in which nothing else may happen, start one of their own; see start.
// All run in parallel: they mostly wait for addresses to cool down. A witness that
// shares no code with Slotwise watches each environment, and judges at its end.
//
// Only tests come in. A test that proves one of the invariants of the design says so
// in its name.
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

	"golang.org/x/time/rate"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slotwise.dev/slotwise/allocator/settings"
	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/controlplane"
	"slotwise.dev/slotwise/test/ec2sim"
	"slotwise.dev/slotwise/test/testenv"
	"slotwise.dev/slotwise/test/witness"
)

// startTimeout limits the start of an environment.
const startTimeout = 3 * time.Minute

// starting has environments start one after the other: that is the most of their work.
var starting sync.Mutex

func TestMain(m *testing.M) {
	controlplane.Quiet()
	// By default as many tests as there are processors run in parallel. These
	// wait more than they compute.
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	code := m.Run()
	if err := common.stop(code == 0); err != nil {
		fmt.Fprintln(os.Stderr, "the shared environment:", err)
		code = 1
	}
	os.Exit(code)
}

// env is a running environment, with its witness.
type env struct {
	*testenv.Env
	witness *witness.Witness
	began   time.Time
	end     context.CancelFunc
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

// longLease is for a replica without a standby. A busy machine may renew it late, and
// nobody is there to start a replica again that has lost it.
var longLease = []string{"--lease-duration=2m", "--lease-renew-deadline=90s"}

// newEnv starts an environment.
func newEnv(options testenv.Options) (*env, error) {
	starting.Lock()
	defer starting.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	options.EC2 = ec2
	if options.Replicas < 2 {
		options.Args = append(options.Args, longLease...)
	}
	e := &env{began: time.Now()}
	var err error
	if e.Env, err = testenv.Start(ctx, options); err != nil {
		return nil, err
	}
	var watching context.Context
	watching, e.end = context.WithCancel(context.Background())
	e.witness = e.Watch(watching, metav1.NamespaceAll)
	return e, nil
}

// stop ends the environment, and says what was wrong with it. Unless all was well
// its logs are kept.
func (e *env) stop(well bool) error {
	found := e.witness.Violations()
	e.end()
	var errs []error
	if !well {
		errs = append(errs, errors.New("a test failed"))
	}
	for _, v := range found {
		if v.Kind != witness.BoundBare && v.Broken() { // of the first tests decide: see namespace
			errs = append(errs, errors.New(e.witness.History(v, e.began)))
		}
	}
	errs = append(errs, e.EC2.Check())
	if err := errors.Join(errs...); err != nil {
		return e.Fail(err)
	}
	return e.Stop()
}

// prefixMode are the settings of an environment in prefix mode. Without them it is in
// secondary IP mode.
var prefixMode = map[string]string{settings.KeyPrefixDelegation: "true"}

// environments has a place for each environment of one test that may run at a time,
// beside the shared one: with more the leases of their replicas are not renewed in time
// on a small machine.
var environments = make(chan struct{}, 4)

// start starts an environment for one test.
func start(t *testing.T, options testenv.Options) *env {
	t.Helper()
	environments <- struct{}{}
	t.Cleanup(func() { <-environments })
	e, err := newEnv(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.stop(!t.Failed()); err != nil {
			t.Error(err)
		}
	})
	return e
}

// common is the environment that tests share.
var common sharing

type sharing struct {
	once sync.Once
	*env
	err error
}

// shared is the environment of the tests that leave the settings alone. It is in
// prefix mode.
func shared(t *testing.T) *env {
	t.Helper()
	common.once.Do(func() {
		if common.env, common.err = newEnv(testenv.Options{Settings: prefixMode}); common.err == nil {
			common.err = errors.Join(common.addPriorities(context.Background()), common.startPlain(context.Background()))
		}
	})
	if common.err != nil {
		t.Fatal(common.err)
	}
	check.Must(t, starts.Wait(t.Context()))
	return common.env
}

// starts spreads the beginnings of the tests that share an environment.
var starts = rate.NewLimiter(rate.Every(500*time.Millisecond), 1)

func (c *sharing) stop(well bool) error {
	if c.env == nil {
		return nil
	}
	return c.env.stop(well)
}

// namespace makes a namespace for one test, whose pods are all bound through the
// extender: at the end of the test none of them was ever bound without its
// address (I4).
func (e *env) namespace(t *testing.T) string {
	t.Helper()
	name := e.NewNamespace(t)
	t.Cleanup(func() {
		for _, v := range e.witness.Violations() {
			if v.Kind == witness.BoundBare && strings.HasPrefix(v.Pod, name+"/") {
				t.Errorf("I4: %s", v.Text)
			}
		}
	})
	return name
}

// lives are the pods of a namespace that the witness has seen bound.
func (e *env) lives(namespace string) (bound []witness.Life) {
	for _, l := range e.witness.Lives() {
		if l.Bound > 0 && strings.HasPrefix(l.Name, namespace+"/") {
			bound = append(bound, l)
		}
	}
	return bound
}
