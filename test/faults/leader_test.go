package faults

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/leader"
	"slotwise.dev/slotwise/test/testenv"
)

// lease is short, as the tests wait for it to run out.
var lease = []string{"--lease-duration=6s", "--lease-renew-deadline=4s", "--lease-retry-period=500ms"}

// team is two whole processes of Slotwise in a cluster of their own, with a real
// kube-scheduler, and one node.
type team struct {
	*testenv.Env
	t         *testing.T
	namespace string
	running   int // pods that the scheduler has placed
}

const teamNode = "win"

func startTeam(t *testing.T) *team {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), awaitTimeout)
	defer cancel()
	e, err := testenv.Start(ctx, testenv.Options{Replicas: 2, Settings: prefixMode, Args: lease})
	if err != nil {
		t.Fatal(err)
	}
	watching, end := context.WithCancel(context.Background())
	seen := e.Observe(watching)
	s := &team{Env: e, t: t}
	t.Cleanup(func() {
		for _, breach := range seen.Breaches() {
			t.Error(breach)
		}
		for _, pod := range seen.Bare() {
			if strings.HasPrefix(pod, s.namespace+"/") {
				t.Errorf("I4: %s was bound without an address", pod)
			}
		}
		if err := e.Check(context.Background()); err != nil {
			t.Error(err)
		}
		end()
		if t.Failed() {
			t.Log(e.Fail(errors.New("the test failed")))
		} else if err := e.Stop(); err != nil {
			t.Error(err)
		}
	})
	s.namespace = s.NewNamespace(t)
	if _, err := s.AddNode(t.Context(), teamNode, "t3.medium", testenv.Subnet); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestI1Leaders has one of two replicas follow the other as the leader, in each of
// the ways in which a leader ends. Pods are placed before and after, no address is
// given twice, and the label of the leader is where the leader is.
func TestI1Leaders(t *testing.T) {
	t.Parallel()
	s := startTeam(t)
	s.place(5)

	old, holder := s.leader(nil), s.holder()
	s.must(old.Stop())
	if s.holder() == holder {
		t.Error("the leader has ended in order and not given its lease back")
	}
	next := s.leader(old)
	s.labelled(next)
	s.place(5)
	s.must(old.Start(t.Context()))

	s.must(next.Kill())
	old, next = next, s.leader(next)
	s.place(5)
	s.must(old.Start(t.Context()))
	s.labelled(next) // the other one has taken its own away as it started

	s.frozen(next)
	s.place(5)
}

// frozen freezes the leader for longer than its lease, with a bind on its way to it.
// It must not do that when it thaws: the next leader has taken over.
func (s *team) frozen(old *testenv.Replica) {
	s.t.Helper()
	ctx := s.t.Context()
	straight, err := s.Extender(ctx, old)
	s.must(err)
	p := testenv.Pod(s.namespace, "on-its-way")
	p.Spec.SchedulerName = "nobody"
	if err := straight.Bind(ctx, p, teamNode); err == nil { // opens the connection
		s.t.Error("a pod was bound that is not there")
	}
	s.must(s.Kube.Create(ctx, p))
	s.must(old.Freeze())
	s.until("it is frozen", func() error { // not before all its threads are
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, err := old.Metrics(ctx); err == nil {
			return errors.New("it answers")
		}
		return nil
	})
	answer := make(chan error, 1)
	go func() { answer <- straight.Bind(ctx, p, teamNode) }()
	next := s.leader(old)
	s.must(old.Thaw())
	if err := <-answer; err == nil {
		s.t.Error("I1: a leader that was frozen for longer than its lease has bound a pod")
	}
	s.must(s.Kube.Get(ctx, client.ObjectKeyFromObject(p), p))
	if p.Spec.NodeName != "" {
		s.t.Errorf("I1: the pod is on %s", p.Spec.NodeName)
	}
	s.until("the process that was frozen has ended", func() error {
		if old.Runs() {
			return errors.New("it runs")
		}
		return nil
	})
	straight, err = s.Extender(ctx, next)
	s.must(err)
	s.until("the next leader binds the pod", func() error { return straight.Bind(ctx, p, teamNode) })
	s.running++
	s.must(old.Start(ctx))
	s.labelled(next)
}

// place has the scheduler place some more pods.
func (s *team) place(pods int) {
	s.t.Helper()
	s.must(s.CreatePods(s.t.Context(), s.namespace, fmt.Sprintf("after-%d", s.running), pods))
	s.running += pods
	s.must(s.AwaitRunning(s.t.Context(), s.namespace, s.running))
}

// leader waits until a replica leads, and not the given one.
func (s *team) leader(but *testenv.Replica) (leader *testenv.Replica) {
	s.t.Helper()
	s.until("a replica leads", func() (err error) {
		leader, err = s.Leader(s.t.Context())
		if err == nil && leader == but {
			err = errors.New("it is still " + but.Name)
		}
		return err
	})
	return leader
}

// labelled waits until the label of the leader is on one pod, that of the replica.
func (s *team) labelled(r *testenv.Replica) {
	s.t.Helper()
	s.until("the label of the leader is on "+r.Name, func() error {
		var pods corev1.PodList
		err := s.Kube.List(s.t.Context(), &pods, client.InNamespace(testenv.Namespace), client.MatchingLabels{leader.LabelLeader: "true"})
		if err == nil && (len(pods.Items) != 1 || pods.Items[0].Name != r.Name) {
			err = fmt.Errorf("it is on %d pods", len(pods.Items))
		}
		return err
	})
}

// holder is who has the lease; empty: nobody.
func (s *team) holder() string {
	s.t.Helper()
	var l coordinationv1.Lease
	s.must(s.Kube.Get(s.t.Context(), client.ObjectKey{Namespace: testenv.Namespace, Name: "slotwise"}, &l))
	if l.Spec.HolderIdentity == nil {
		return ""
	}
	return *l.Spec.HolderIdentity
}

func (s *team) until(what string, check func() error) {
	s.t.Helper()
	s.must(s.Until(s.t.Context(), what, func(context.Context) error { return check() }))
}

func (s *team) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}
