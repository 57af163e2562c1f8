package sim

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slotwise.dev/slotwise/test/sim/apiserver"
	"slotwise.dev/slotwise/test/sim/history"
	"slotwise.dev/slotwise/test/sim/judge"
	"slotwise.dev/slotwise/test/witness"
)

// stub is a replica that is none.
type stub struct{ run func(context.Context) }

func (s stub) Run(ctx context.Context) { s.run(ctx) }

func (stub) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
}

func stubs(run func(context.Context)) Options {
	return Options{Build: func(Environment) (Replica, error) { return stub{run}, nil }}
}

// short is a history of a minute without trouble.
func short(steps ...history.Step) history.History {
	h := history.New(1, "none")
	h.Trouble, h.Steps, h.Ending = history.Duration(time.Minute), steps, nil
	h.Cluster.Settings = history.Settings{} // its subnet has no block to give
	return h
}

// What is judged is seen to fail on products that are none.
func TestStubs(t *testing.T) {
	waits := func(ctx context.Context) { <-ctx.Done() }
	crash := history.Step{At: history.Duration(10 * time.Second), Act: history.Crash, On: history.Standby}
	stop := history.Step{At: history.Duration(10 * time.Second), Act: history.Stop, On: history.Standby}
	for name, test := range map[string]struct {
		run   func(context.Context)
		steps []history.Step
		want  []witness.Kind // at least these
	}{
		"one that does nothing": {
			run: waits, want: []witness.Kind{witness.SlotLost},
		},
		"one that does not hear that it is to end": {
			run:  func(ctx context.Context) { <-ctx.Done(); time.Sleep(5 * time.Minute) },
			want: []witness.Kind{judge.Endless}, steps: []history.Step{stop},
		},
		"one that goes on after a crash": {
			run:  func(ctx context.Context) { <-ctx.Done(); time.Sleep(5 * time.Minute) },
			want: []witness.Kind{judge.Endless}, steps: []history.Step{crash},
		},
		"one that leaves a goroutine behind": {
			run: func(ctx context.Context) {
				go func() { select {} }()
				<-ctx.Done()
			},
			want: []witness.Kind{judge.Broke},
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := Run(t, short(test.steps...), stubs(test.run))
			for _, kind := range test.want {
				if !slices.Contains(v.Kinds(), kind) {
					t.Errorf("found %v, want %q", v.Kinds(), kind)
				}
			}
		})
	}
}

// What is due first is done first; what is not due is done in the end.
func TestAgenda(t *testing.T) {
	synctest.Test(t, testAgenda)
}

func testAgenda(t *testing.T) {
	var did []string
	s := &system{}
	for _, x := range []struct {
		name string
		in   time.Duration
	}{{"b", 2 * time.Millisecond}, {"c", 3 * time.Millisecond}, {"a", time.Millisecond}, {"b, too", 2 * time.Millisecond}, {"never due", time.Hour}} {
		s.later(x.in, func() { did = append(did, x.name) })
	}
	s.until(time.Now().Add(10 * time.Millisecond))
	if want := []string{"a", "b", "b, too", "c"}; !slices.Equal(did, want) {
		t.Errorf("did %v, want %v", did, want)
	}
	s.undoAll()
	if did[len(did)-1] != "never due" {
		t.Errorf("at the end %v was done", did)
	}
}

// A machine whose kubelet has yet to register is not at rest, though nothing else is amiss.
func TestUnregistered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &system{server: apiserver.New(), machines: map[string]*machine{"node-0": {eni: "eni-1"}}}
		defer s.server.Close()
		if lost := s.unregistered(); len(lost) != 1 {
			t.Errorf("found %v of a machine without a Node", lost)
		}
		s.must(s.server.Nodes().Create(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-0"}}))
		if lost := s.unregistered(); len(lost) > 0 {
			t.Errorf("found %v of a machine with its Node", lost)
		}
	})
}
