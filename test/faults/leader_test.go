package faults

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/leader"
	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/testenv"
	"slotwise.dev/slotwise/test/witness"
)

// lease is short, as the tests wait for it to run out.
var lease = []string{"--lease-duration=6s", "--lease-renew-deadline=4s", "--lease-retry-period=500ms"}

// cluster is two whole processes of Slotwise in a cluster of their own, with a real
// kube-scheduler, and one node.
type cluster struct {
	*testenv.Env
	t       *testing.T
	witness *witness.Witness
	began   time.Time
	running int // pods that the scheduler has placed
}

// What a cluster has for its test.
const (
	clusterNode = "win"
	namespace   = "pods"
)

func startCluster(t *testing.T) *cluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), awaitTimeout)
	defer cancel()
	e, err := testenv.Start(ctx, testenv.Options{Replicas: 2, Settings: prefixMode, Args: lease})
	if err != nil {
		t.Fatal(err)
	}
	watching, end := context.WithCancel(context.Background())
	c := &cluster{Env: e, t: t, began: time.Now()}
	c.witness = e.Watch(watching, namespace)
	t.Cleanup(func() {
		for _, v := range c.witness.Violations() {
			t.Error(c.witness.History(v, c.began)) // nothing is excused: there is but one node
		}
		if err := e.EC2.Check(); err != nil {
			t.Error(err)
		}
		end()
		if t.Failed() {
			t.Log(e.Fail(errors.New("the test failed")))
		} else if err := e.Stop(); err != nil {
			t.Error(err)
		}
	})
	check.Must(t, e.CreateNamespace(t.Context(), namespace))
	if _, err := c.AddNode(t.Context(), clusterNode, "t3.medium", testenv.Subnet); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestI1Leaders has one of two replicas follow the other as the leader, in each of
// the ways in which a leader ends. Pods are placed before and after, no address is
// given twice, and the label of the leader is where the leader is.
func TestI1Leaders(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	c.place(5)

	old, holder := c.leader(nil), c.holder()
	c.must(old.Stop())
	if c.holder() == holder {
		t.Error("the leader has ended in order and not given its lease back")
	}
	next := c.leader(old)
	c.labelled(next)
	c.place(5)
	c.must(old.Start(t.Context()))

	c.must(next.Kill())
	old, next = next, c.leader(next)
	c.place(5)
	c.must(old.Start(t.Context()))
	c.labelled(next) // the other one has taken its own away as it started

	c.frozen(next)
	c.place(5)
}

// frozen freezes the leader for longer than its lease, with a bind on its way to it.
// It must not do that when it thaws: the next leader has taken over.
func (c *cluster) frozen(old *testenv.Replica) {
	c.t.Helper()
	ctx := c.t.Context()
	straight, err := c.Extender(ctx, old)
	c.must(err)
	p := testenv.Pod(namespace, "on-its-way")
	p.Spec.SchedulerName = "nobody"
	if err := straight.Bind(ctx, p, clusterNode); err == nil { // opens the connection
		c.t.Error("a pod was bound that is not there")
	}
	c.must(c.Kube.Create(ctx, p))
	c.must(old.Freeze())
	c.until("it is frozen", func() error { // not before all its threads are
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, err := old.Metrics(ctx); err == nil {
			return errors.New("it answers")
		}
		return nil
	})
	answer := make(chan error, 1)
	go func() { answer <- straight.Bind(ctx, p, clusterNode) }()
	next := c.leader(old)
	c.must(old.Thaw())
	if err := <-answer; err == nil {
		c.t.Error("I1: a leader that was frozen for longer than its lease has bound a pod")
	}
	c.must(c.Kube.Get(ctx, client.ObjectKeyFromObject(p), p))
	if p.Spec.NodeName != "" {
		c.t.Errorf("I1: the pod is on %s", p.Spec.NodeName)
	}
	c.until("the process that was frozen has ended", func() error {
		if old.Runs() {
			return errors.New("it runs")
		}
		return nil
	})
	straight, err = c.Extender(ctx, next)
	c.must(err)
	c.until("the next leader binds the pod", func() error { return straight.Bind(ctx, p, clusterNode) })
	c.running++
	c.must(old.Start(ctx))
	c.labelled(next)
}

// place has the scheduler place some more pods.
func (c *cluster) place(pods int) {
	c.t.Helper()
	c.must(c.CreatePods(c.t.Context(), namespace, fmt.Sprintf("after-%d", c.running), pods))
	c.running += pods
	c.must(c.AwaitRunning(c.t.Context(), namespace, c.running))
}

// leader waits until a replica leads, and not the given one.
func (c *cluster) leader(but *testenv.Replica) (leader *testenv.Replica) {
	c.t.Helper()
	c.until("a replica leads", func() (err error) {
		leader, err = c.Leader(c.t.Context())
		if err == nil && leader == but {
			err = errors.New("it is still " + but.Name)
		}
		return err
	})
	return leader
}

// labelled waits until the label of the leader is on one pod, that of the replica.
func (c *cluster) labelled(r *testenv.Replica) {
	c.t.Helper()
	c.until("the label of the leader is on "+r.Name, func() error {
		var pods corev1.PodList
		err := c.Kube.List(c.t.Context(), &pods, client.InNamespace(testenv.Namespace), client.MatchingLabels{leader.LabelLeader: "true"})
		if err == nil && (len(pods.Items) != 1 || pods.Items[0].Name != r.Name) {
			err = fmt.Errorf("it is on %d pods", len(pods.Items))
		}
		return err
	})
}

// holder is who has the lease; empty: nobody.
func (c *cluster) holder() string {
	c.t.Helper()
	var l coordinationv1.Lease
	c.must(c.Kube.Get(c.t.Context(), client.ObjectKey{Namespace: testenv.Namespace, Name: "slotwise"}, &l))
	if l.Spec.HolderIdentity == nil {
		return ""
	}
	return *l.Spec.HolderIdentity
}

func (c *cluster) until(what string, check func() error) {
	c.t.Helper()
	c.must(c.Until(c.t.Context(), what, func(context.Context) error { return check() }))
}

func (c *cluster) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}
