package scheduler

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	extenderv1 "k8s.io/kube-scheduler/extender/v1"

	"slotwise.dev/slotwise/allocator/capacity"
	"slotwise.dev/slotwise/extender"
	"slotwise.dev/slotwise/test/sim/apiserver"
	"slotwise.dev/slotwise/test/sim/process"
)

// fakeAllocator is what is behind the real handler.
type fakeAllocator struct {
	rooms map[string]capacity.Room
	bind  func(ctx context.Context, pod types.NamespacedName, uid types.UID, node string) error
}

func (a *fakeAllocator) Anywhere(capacity.Pod) bool { return false }

func (a *fakeAllocator) View(_ capacity.Pod, f func(func([]byte) capacity.Room)) {
	f(func(node []byte) capacity.Room {
		if r, known := a.rooms[string(node)]; known {
			return r
		}
		return capacity.Room{Reason: capacity.Unknown}
	})
}

func (a *fakeAllocator) Bind(ctx context.Context, pod types.NamespacedName, uid types.UID, node string) error {
	return a.bind(ctx, pod, uid, node)
}

func (a *fakeAllocator) Choose(_ context.Context, _ capacity.Pod, candidates []capacity.Candidate) (capacity.Candidate, bool) {
	return candidates[0], true
}

func (a *fakeAllocator) handler(t testing.TB) http.Handler {
	h, err := extender.Handler(extender.Options{Rooms: a, Binder: a, Evictions: a, Serving: func() bool { return true }, BindTimeout: 28 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// toOne dials one replica.
type toOne struct{ *Replica }

func (d toOne) Dial() (*Replica, error) { return d.Replica, nil }

// TestHTTPVerbs goes through the real handler.
func TestHTTPVerbs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		no := errors.New("no address is left")
		a := &fakeAllocator{
			rooms: map[string]capacity.Room{"good": {Free: 1}, "better": {Free: 1, InUse: 5}, "full": {Reason: capacity.Full}},
			bind: func(_ context.Context, pod types.NamespacedName, uid types.UID, node string) error {
				if pod != key("p") || uid != "u" || node != "good" {
					return no
				}
				return nil
			},
		}
		h := NewHTTPExtender(HTTPOptions{Dialer: toOne{&Replica{Handler: a.handler(t)}}})
		ctx, p := t.Context(), asking("p")
		p.UID = "u"

		f, err := h.Filter(ctx, p, []string{"good", "full", "better"})
		if err != nil || len(*f.NodeNames) != 2 || f.FailedAndUnresolvableNodes["full"] == "" {
			t.Errorf("filter answers %v, %v", f, err)
		}
		scores, err := h.Prioritize(ctx, p, []string{"good", "better"})
		if err != nil || len(scores) != 2 || scores[0].Score >= scores[1].Score {
			t.Errorf("prioritize answers %v, %v", scores, err)
		}
		if err := h.Bind(ctx, p, "good"); err != nil {
			t.Error(err)
		}
		if err := h.Bind(ctx, p, "better"); err == nil || err.Error() != no.Error() {
			t.Errorf("bind answers %v, want %v", err, no)
		}
		m, err := h.Preempt(ctx, p, metas{"full": {Pods: []*extenderv1.MetaPod{{UID: "v"}}}})
		if err != nil || len(m) != 1 || m["full"].Pods[0].UID != "v" {
			t.Errorf("preempt answers %v, %v", m, err)
		}
	})
}

// named answers its name as an error.
type named string

func (n named) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	_, _ = w.Write([]byte(`{"Error":"` + string(n) + `"}`))
}

// inCluster has replicas in pods, and a client of their Service.
func inCluster(t *testing.T, names []string, test func(w *world, h *HTTPExtender, replicas map[string]*process.Process)) {
	inWorld(t, func(w *world) {
		replicas := map[string]*process.Process{}
		for _, name := range names {
			w.pod(name, on("a"))
			replicas[name] = process.New(w.ctx, name)
		}
		service := NewService(w.ctx, ServiceOptions{
			Server: w.server, Client: w.client,
			Selects: func(p *corev1.Pod) bool { return p.Labels["leader"] == "true" },
			Find: func(pod types.NamespacedName) *Replica {
				p := replicas[pod.Name]
				return &Replica{Handler: named(pod.Name), Gate: p, Done: p.Crashed()}
			},
		})
		test(w, NewHTTPExtender(HTTPOptions{Dialer: service}), replicas)
	})
}

// lead moves the label, which the Service hears of within the lag.
func (w *world) lead(from, to string) {
	for name, lead := range map[string]string{from: "", to: "true"} {
		if name == "" {
			continue
		}
		if _, err := w.server.Pods().Change(key(name), "", func(p *corev1.Pod) error {
			p.Labels = map[string]string{"leader": lead}
			return nil
		}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// asks asks the extender, and checks who answers; empty: nobody does.
func asks(t *testing.T, h *HTTPExtender, want string) {
	t.Helper()
	err := h.Bind(context.Background(), asking("p"), "a")
	if want == "" {
		if !errors.Is(err, ErrRefused) {
			t.Errorf("got %v, want %v", err, ErrRefused)
		}
		return
	}
	if err == nil || err.Error() != want {
		t.Errorf("%v answers, want %s", err, want)
	}
}

func TestServiceFollowsTheLabel(t *testing.T) {
	inCluster(t, []string{"one", "two"}, func(w *world, h *HTTPExtender, replicas map[string]*process.Process) {
		pause(settle)
		asks(t, h, "") // nobody leads
		w.lead("", "one")
		asks(t, h, "") // it has not been seen yet
		pause(2 * lag)
		asks(t, h, "one")
		w.lead("one", "two")
		pause(2 * lag)
		asks(t, h, "one") // the connection stays where it is
		pause(time.Minute)
		asks(t, h, "one")
		pause(2 * time.Minute) // idle for too long
		asks(t, h, "two")
		replicas["two"].Crash()
		asks(t, h, "")
		w.lead("two", "one")
		pause(2 * lag)
		asks(t, h, "one")
	})
}

// TestCrashBreaksRequests that are under way, at once.
func TestCrashBreaksRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := process.New(t.Context(), "r")
		a := &fakeAllocator{bind: func(ctx context.Context, _ types.NamespacedName, _ types.UID, _ string) error {
			<-ctx.Done()
			return ctx.Err()
		}}
		h := NewHTTPExtender(HTTPOptions{Dialer: toOne{&Replica{Handler: a.handler(t), Gate: p, Done: p.Crashed()}}})
		begin := time.Now()
		time.AfterFunc(time.Second, p.Crash)
		q := asking("p")
		q.UID = "u"
		if err := h.Bind(t.Context(), q, "a"); !errors.Is(err, errReset) {
			t.Errorf("got %v, want %v", err, errReset)
		}
		if d := time.Since(begin); d != time.Second {
			t.Errorf("it took %s", d)
		}
	})
}

// TestFrozenReplica: requests hang until their timeout, and the connection until a ping is
// not answered; what was asked is done after the thaw all the same, or not.
func TestFrozenReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := process.New(t.Context(), "r")
		served := 0
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			served++
			if r.Context().Err() != nil {
				t.Log("the replica finds that the client has gone")
			}
			named("r").ServeHTTP(w, r)
		})
		dials := 0
		h := NewHTTPExtender(HTTPOptions{Dialer: dialer(func() (*Replica, error) {
			dials++
			return &Replica{Handler: handler, Gate: p, Done: p.Crashed()}, nil
		})})
		p.Freeze()
		begin := time.Now()
		if err := h.Bind(context.Background(), asking("p"), "a"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want a timeout", err)
		}
		if d := time.Since(begin); d != DefaultTimeout {
			t.Errorf("it took %s, want %s", d, DefaultTimeout)
		}
		if err := h.Bind(context.Background(), asking("p"), "a"); !errors.Is(err, errSilence) {
			t.Errorf("got %v, want %v", err, errSilence)
		}
		if d := time.Since(begin); d != DefaultTimeout+pingTime {
			t.Errorf("it took %s, want %s", d, DefaultTimeout+pingTime)
		}
		p.Thaw()
		synctest.Wait()
		if served != 2 {
			t.Errorf("%d requests came in after the thaw, want 2", served)
		}
		asks(t, h, "r")
		if dials != 2 {
			t.Errorf("there were %d connections, want 2", dials)
		}
	})
}

type dialer func() (*Replica, error)

func (d dialer) Dial() (*Replica, error) { return d() }

// TestLatency is that of a request and of its answer.
func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ms := 3 * time.Millisecond
		h := NewHTTPExtender(HTTPOptions{Dialer: toOne{&Replica{Handler: named("r")}}, Latency: apiserver.Spread{Min: ms, Max: ms}})
		begin := time.Now()
		asks(t, h, "r")
		if d := time.Since(begin); d != 2*ms {
			t.Errorf("it took %s, want %s", d, 2*ms)
		}
	})
}
