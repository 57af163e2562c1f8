package apiserver

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	utilnet "k8s.io/apimachinery/pkg/util/net"

	"slotwise.dev/slotwise/allocator/kube"
)

// bind binds a pod with an address by a client.
func bind(ctx context.Context, c *Client, p *corev1.Pod) error {
	return c.Pods().Bind(ctx, kube.Binding{Pod: key, UID: p.UID, Node: "node", Address: address})
}

// isBound says where the pod of key is.
func isBound(s *Server) bool {
	p, ok := s.Pods().Get(key)
	return ok && p.Spec.NodeName != ""
}

func TestLateWrite(t *testing.T) {
	bubble(t, func(t *testing.T, s *Server) {
		p := made(t, s.Pods(), newPod(key.Name))
		var landed time.Time
		s.Observe(func(Event) { landed = time.Now() })
		start := time.Now()
		err := bind(t.Context(), dial(s, Conditions{LateWrite: 1}), p)
		if !apierrors.IsTimeout(err) && !utilnet.IsProbableEOF(err) || kube.Refused(err) {
			t.Errorf("error is %v", err)
		}
		if time.Since(start) > 0 || isBound(s) {
			t.Fatalf("told after %v, bound: %v", time.Since(start), isBound(s))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if !isBound(s) || landed.Equal(start) {
			t.Fatalf("bound: %v, at %v", isBound(s), landed.Sub(start))
		}
		t.Logf("bound %v after its client was told of a timeout", landed.Sub(start))
	})
}

// TestLateWriteOfLimitedTime: the server gives up what it was told to, so that nothing
// lands after that.
func TestLateWriteOfLimitedTime(t *testing.T) {
	const limit, writes = 10 * time.Second, 100
	bubble(t, func(t *testing.T, s *Server) {
		c := dial(s, Conditions{LateWrite: 1})
		for i := range writes {
			p := made(t, s.Pods(), newPod(fmt.Sprintf("pod-%d", i)))
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			_ = c.Pods().Bind(ctx, kube.Binding{Pod: types.NamespacedName{Namespace: p.Namespace, Name: p.Name}, UID: p.UID, Node: "node"})
		}
		time.Sleep(limit)
		synctest.Wait()
		landed := countBound(s)
		time.Sleep(time.Minute)
		if late := countBound(s) - landed; landed == 0 || late > 0 {
			t.Errorf("%d of %d landed in time, and %d after it", landed, writes, late)
		}
	})
}

// countBound counts the pods that are bound.
func countBound(s *Server) (n int) {
	for _, p := range s.Pods().List() {
		if p.Spec.NodeName != "" {
			n++
		}
	}
	return n
}

func TestLostRequests(t *testing.T) {
	cases := map[string]struct {
		conditions Conditions
		done       bool
	}{
		"the request": {conditions: Conditions{LoseRequest: 1}},
		"the answer":  {conditions: Conditions{LoseAnswer: 1}, done: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *Server) {
				broke, silent := 0, 0
				for range 100 {
					p := made(t, s.Pods(), newPod(key.Name))
					start := time.Now()
					err := bind(t.Context(), dial(s, c.conditions).seeded(uint64(start.UnixNano())), p)
					switch {
					case utilnet.IsConnectionReset(err) && time.Since(start) == 0:
						broke++
					case utilnet.IsHTTP2ConnectionLost(err) && time.Since(start) == silence:
						silent++
					default:
						t.Fatalf("error after %v is %v", time.Since(start), err)
					}
					if isBound(s) != c.done {
						t.Fatalf("bound: %v", isBound(s))
					}
					if err := s.Pods().Delete(key, Deletion{Grace: Force()}); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Second)
				}
				if broke == 0 || silent == 0 {
					t.Errorf("connections: %d broke, %d fell silent", broke, silent)
				}
			})
		})
	}
}

// seeded is the client with another seed.
func (c *Client) seeded(seed uint64) *Client {
	return c.server.Client(NewLink(LinkOptions{Name: c.link.name, Seed: seed, Conditions: c.link.Conditions()}))
}

// A client that gives up does not know: some of what was under way is done.
func TestGivingUp(t *testing.T) {
	bubble(t, func(t *testing.T, s *Server) {
		done := 0
		for seed := range uint64(100) {
			p := made(t, s.Pods(), newPod(key.Name))
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			c := dial(s, Conditions{Latency: Spread{Min: 3 * time.Second, Max: 3 * time.Second}}).seeded(seed)
			if err := bind(ctx, c, p); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("error is %v", err)
			}
			cancel()
			if isBound(s) {
				t.Fatal("bound before the request was there")
			}
			time.Sleep(time.Minute)
			if isBound(s) {
				done++
			}
			if err := s.Pods().Delete(key, Deletion{Grace: Force()}); err != nil {
				t.Fatal(err)
			}
		}
		if done < 20 || done > 80 {
			t.Errorf("%d of 100 were done", done)
		}
	})
}

func TestBusyAndUnavailable(t *testing.T) {
	bubble(t, func(t *testing.T, s *Server) {
		p := made(t, s.Pods(), newPod(key.Name))
		c := dial(s, Conditions{Busy: 1})
		start := time.Now()
		if err := bind(t.Context(), c, p); !apierrors.IsTooManyRequests(err) || time.Since(start) != 10*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		time.AfterFunc(3500*time.Millisecond, func() { c.link.Set(Healthy()) })
		if err := bind(t.Context(), c, p); err != nil {
			t.Errorf("the client's own repetition: %v", err)
		}
		c.link.Set(Conditions{Unavailable: 1})
		if err := bind(t.Context(), c, p); !apierrors.IsServiceUnavailable(err) || kube.Refused(err) {
			t.Errorf("error is %v", err)
		}
	})
}

func TestDown(t *testing.T) {
	bubble(t, func(t *testing.T, s *Server) {
		p := made(t, s.Pods(), newPod(key.Name))
		c := dial(s, Conditions{})
		s.Down()
		if err := bind(t.Context(), c, p); !utilnet.IsConnectionRefused(err) || !kube.Refused(err) {
			t.Errorf("while it is down: %v", err)
		}
		s.Up()
		forbidden := 0
		for range 100 {
			_, err := c.Pods().Get(t.Context(), key)
			if apierrors.IsForbidden(err) {
				forbidden++
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if forbidden == 0 || forbidden == 100 {
			t.Errorf("%d of 100 were forbidden right after the start", forbidden)
		}
		time.Sleep(youth)
		slow := dial(s, Conditions{Latency: Spread{Min: time.Second, Max: time.Second}})
		time.AfterFunc(500*time.Millisecond, s.Down)
		if err := bind(t.Context(), slow, p); !utilnet.IsConnectionReset(err) || isBound(s) {
			t.Errorf("under way when it went: %v, bound: %v", err, isBound(s))
		}
	})
}

// What a frozen API server was sent is done when it thaws, whether or not its client
// still waits.
func TestFrozenServer(t *testing.T) {
	bubble(t, func(t *testing.T, s *Server) {
		done := 0
		for seed := range uint64(50) {
			p := made(t, s.Pods(), newPod(key.Name))
			s.Freeze()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			if err := bind(ctx, dial(s, Conditions{}).seeded(seed), p); !errors.Is(err, context.DeadlineExceeded) || isBound(s) {
				t.Fatalf("error is %v, bound: %v", err, isBound(s))
			}
			cancel()
			time.AfterFunc(10*time.Second, s.Thaw)
			if _, err := dial(s, Conditions{}).Pods().Get(t.Context(), key); err != nil {
				t.Fatalf("who waits until the thaw gets %v", err)
			}
			if isBound(s) {
				done++
			}
			if err := s.Pods().Delete(key, Deletion{Grace: Force()}); err != nil {
				t.Fatal(err)
			}
		}
		if done == 0 || done == 50 {
			t.Errorf("%d of 50 were done after the thaw", done)
		}
	})
}

func TestPartition(t *testing.T) {
	bubble(t, func(t *testing.T, s *Server) {
		p := made(t, s.Pods(), newPod(key.Name))
		c := dial(s, Conditions{})
		c.link.Partition()
		start := time.Now()
		if err := bind(t.Context(), c, p); !utilnet.IsHTTP2ConnectionLost(err) || time.Since(start) != silence || isBound(s) {
			t.Errorf("after %v: %v, bound: %v", time.Since(start), err, isBound(s))
		}
		time.AfterFunc(time.Second, c.link.Heal)
		if err := bind(t.Context(), c, p); err != nil || !isBound(s) {
			t.Errorf("a request that waits for the end of it: %v", err)
		}
	})
}
