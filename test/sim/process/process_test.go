package process

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/kube"
	"slotwise.dev/slotwise/test/sim/apiserver"
)

// replica is a process that binds pods, each after a look at its lease.
type replica struct {
	*Process
	pods   kube.Pods
	leases time.Time // the end of its lease
}

func newReplica(t *testing.T, s *apiserver.Server, c apiserver.Conditions, seed uint64) *replica {
	r := &replica{Process: New(t.Context(), "replica"), leases: time.Now().Add(time.Hour)}
	link := apiserver.NewLink(apiserver.LinkOptions{Name: r.Name, Seed: seed, Gate: r, Conditions: c})
	r.pods = kube.GatePods(s.Client(link).Pods(), lease{r, r.Process.Held(func() bool { return r.left() > 0 })})
	return r
}

func (r *replica) left() time.Duration { return time.Until(r.leases) }

// lease is that of a replica, which may be stopped as it asks.
type lease struct {
	*replica
	held func() bool
}

func (l lease) Held() bool { return l.held() }

func (l lease) Left() time.Duration { return l.left() }

func (r *replica) bind(ctx context.Context, name string) error {
	return r.pods.Bind(ctx, kube.Binding{Pod: podKey(name), Node: "node", Address: netip.MustParsePrefix("10.0.0.5/24")})
}

func podKey(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "default", Name: name}
}

// cluster is an API server with pods that are on no node yet.
func cluster(t *testing.T, names ...string) *apiserver.Server {
	s := apiserver.New()
	t.Cleanup(s.Close)
	for _, name := range names {
		if _, err := s.Pods().Create(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// bound counts the pods that are on a node.
func bound(s *apiserver.Server) (n int) {
	for _, p := range s.Pods().List() {
		if p.Spec.NodeName != "" {
			n++
		}
	}
	return n
}

// A process that was frozen between its look at the lease and what it does then, may do it
// when the lease has long been another's: no lease can stop that. Mostly its deadline does.
func TestFreezeBetweenCheckAndEffect(t *testing.T) {
	done := 0
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			s := cluster(t, "a", "b", "c")
			r := newReplica(t, s, apiserver.Healthy(), seed)
			defer r.Crash()
			if err := r.bind(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
			r.leases = time.Now().Add(10 * time.Second)
			r.FreezeAt(0, time.Minute)
			start := time.Now()
			if err := r.bind(t.Context(), "b"); time.Since(start) < time.Minute || err == nil {
				t.Errorf("after %v: %v, %d are bound", time.Since(start), err, bound(s))
			}
			before := bound(s)
			done += before - 1
			if err := r.bind(t.Context(), "c"); !errors.Is(err, kube.ErrNotLeading) || bound(s) != before {
				t.Errorf("the next one: %v, %d are bound", err, bound(s))
			}
		})
	}
	if done == 0 || done == 20 {
		t.Errorf("%d of 20 did it, want some", done)
	}
}

// A freeze that begins before the look at the lease ends with one that is no longer held.
func TestFreezeBeforeCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cluster(t, "a")
		r := newReplica(t, s, apiserver.Healthy(), 1)
		defer r.Crash()
		r.leases = time.Now().Add(10 * time.Second)
		r.Freeze()
		time.AfterFunc(time.Minute, r.Thaw)
		if err := r.bind(t.Context(), "a"); !errors.Is(err, kube.ErrNotLeading) || bound(s) != 0 {
			t.Errorf("%v, %d are bound", err, bound(s))
		}
	})
}

// The answer of a look at the lease may be old when it is heard.
func TestFreezeWithinCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(t.Context(), "replica")
		held := p.Held(func() bool {
			p.Freeze()
			time.AfterFunc(time.Minute, p.Thaw)
			return true
		})
		if start := time.Now(); !held() || time.Since(start) != time.Minute {
			t.Errorf("heard after %v", time.Since(start))
		}
		p.Crash()
		if held() {
			t.Error("a process that has crashed holds its lease")
		}
	})
}

// A process that crashes after n effects has had these, and none more.
func TestCrashBetweenEffects(t *testing.T) {
	names := []string{"a", "b", "c", "d"}
	for n := range names {
		synctest.Test(t, func(t *testing.T) {
			s := cluster(t, names...)
			r := newReplica(t, s, apiserver.Healthy(), 1)
			r.CrashAt(n)
			returned := 0
			r.Go(func(ctx context.Context) {
				for _, name := range names {
					if r.bind(ctx, name) == nil {
						returned++
					}
				}
			})
			r.Wait()
			if bound(s) != n || returned != n || r.Context().Err() == nil {
				t.Errorf("%d are bound, %d answers, want %d of both; context: %v", bound(s), returned, n, r.Context().Err())
			}
		})
	}
}

// What was under way at the crash may be done, but its answer reaches nobody.
func TestCrashUnderWay(t *testing.T) {
	done := 0
	for seed := range 40 {
		synctest.Test(t, func(t *testing.T) {
			s := cluster(t, "a")
			r := newReplica(t, s, apiserver.Healthy(), 1)
			slow := apiserver.Conditions{Latency: apiserver.Spread{Min: time.Second, Max: time.Second}}
			link := apiserver.NewLink(apiserver.LinkOptions{Name: "slow", Seed: uint64(seed), Gate: r, Conditions: slow})
			r.pods = s.Client(link).Pods()
			time.AfterFunc(500*time.Millisecond, r.Crash)
			if err := r.bind(r.Context(), "a"); !errors.Is(err, ErrCrashed) {
				t.Errorf("the answer is %v", err)
			}
			time.Sleep(time.Minute)
			done += bound(s)
		})
	}
	if done == 0 || done == 40 {
		t.Errorf("%d of 40 were done", done)
	}
}

func TestServe(t *testing.T) {
	double := func(context.Context) (int, error) {
		time.Sleep(time.Second)
		return 2, nil
	}
	cases := map[string]struct {
		before  func(*Process)
		patient time.Duration // 0: a minute
		want    error
		after   time.Duration
	}{
		"it runs":                         {before: func(*Process) {}, after: time.Second},
		"it is down":                      {before: func(p *Process) { p.Crash() }, want: ErrCrashed},
		"it crashes under way":            {before: func(p *Process) { time.AfterFunc(time.Second/2, p.Crash) }, want: ErrCrashed, after: time.Second / 2},
		"it freezes before the answer":    {before: func(p *Process) { freeze(p, time.Second/2, 10*time.Second) }, after: 10 * time.Second},
		"it is frozen, and thaws":         {before: func(p *Process) { freeze(p, 0, 10*time.Second) }, after: 11 * time.Second},
		"it is frozen for too long":       {before: func(p *Process) { freeze(p, 0, time.Hour) }, patient: 5 * time.Second, want: context.DeadlineExceeded, after: 5 * time.Second},
		"its caller has given up already": {before: func(*Process) {}, patient: time.Nanosecond, want: context.DeadlineExceeded, after: time.Nanosecond},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := New(t.Context(), "server")
				c.before(p)
				synctest.Wait()
				if c.patient == 0 {
					c.patient = time.Minute
				}
				ctx, cancel := context.WithTimeout(t.Context(), c.patient)
				defer cancel()
				start := time.Now()
				got, err := Serve(ctx, p, double)
				if !errors.Is(err, c.want) || (err == nil) != (got == 2) || time.Since(start) != c.after {
					t.Errorf("got %d, %v after %v; want %v after %v", got, err, time.Since(start), c.want, c.after)
				}
				p.Crash()
				p.Wait()
			})
		})
	}
}

func freeze(p *Process, after, until time.Duration) {
	time.AfterFunc(after, p.Freeze)
	time.AfterFunc(until, p.Thaw)
}

// A call hears that its caller has gone, and a frozen one hears it when it thaws.
func TestServeHearsThatTheCallerHasGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(t.Context(), "server")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		var heard time.Duration
		freeze(p, time.Second/2, 10*time.Second)
		_, err := Serve(ctx, p, func(ctx context.Context) (int, error) {
			<-ctx.Done()
			heard = time.Since(start)
			return 0, ctx.Err()
		})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("the caller has %v after %v", err, time.Since(start))
		}
		p.Wait()
		if heard != 10*time.Second {
			t.Errorf("heard after %v", heard)
		}
	})
}

// A process that is frozen ends when it thaws.
func TestStopOfAFrozenProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(t.Context(), "server")
		p.Freeze()
		p.Stop()
		time.Sleep(time.Minute)
		if p.Context().Err() != nil {
			t.Error("it heard of it while it was frozen")
		}
		p.Thaw()
		<-p.Context().Done()
	})
}
