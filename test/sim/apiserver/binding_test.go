package apiserver

import (
	"maps"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"slotwise.dev/slotwise/allocator/kube"
	"slotwise.dev/slotwise/allocator/vpc"
)

func TestBindingMergesAnnotations(t *testing.T) {
	bubble(t, func(t *testing.T, s *Server) {
		p := newPod(key.Name)
		p.Annotations = map[string]string{"kept": "yes", vpc.Annotation: "old"}
		p = made(t, s.Pods(), p)
		var seen []Event
		s.Observe(func(e Event) { seen = append(seen, e) })
		err := dial(s, Healthy()).Pods().Bind(t.Context(), kube.Binding{Pod: key, UID: p.UID, Node: "node", Address: address})
		if err != nil {
			t.Fatal(err)
		}
		if len(seen) != 1 || seen[0].By != "test" {
			t.Fatalf("bound in %d commits, want 1 by the client", len(seen))
		}
		now := seen[0].New.(*corev1.Pod)
		want := map[string]string{"kept": "yes", vpc.Annotation: "10.0.0.5/24"}
		if now.Spec.NodeName != "node" || !maps.Equal(now.Annotations, want) {
			t.Errorf("pod is on %q with %v, want %v", now.Spec.NodeName, now.Annotations, want)
		}
		if old := seen[0].Old.(*corev1.Pod); old.Spec.NodeName != "" || old.Annotations[vpc.Annotation] != "old" {
			t.Error("the object from before was changed")
		}
	})
}

func TestBindingIsRefused(t *testing.T) {
	cases := map[string]struct {
		before func(*testing.T, *Server)
		uid    bool // of another pod
		want   func(error) bool
	}{
		"no such pod":    {before: func(*testing.T, *Server) {}, want: apierrors.IsNotFound},
		"another pod":    {before: func(t *testing.T, s *Server) { made(t, s.Pods(), newPod(key.Name)) }, uid: true, want: apierrors.IsConflict},
		"bound already":  {before: func(t *testing.T, s *Server) { bound(t, s) }, want: apierrors.IsConflict},
		"being deleted":  {before: deleting, want: apierrors.IsConflict},
		"gated, not yet": {before: gated, want: apierrors.IsConflict},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *Server) {
				c.before(t, s)
				version := s.Version()
				b := kube.Binding{Pod: key, Node: "other", Address: address}
				if c.uid {
					b.UID = "another"
				}
				if err := dial(s, Healthy()).Pods().Bind(t.Context(), b); !c.want(err) || !kube.Refused(err) {
					t.Errorf("error is %v", err)
				}
				if s.Version() != version {
					t.Error("something was written")
				}
			})
		})
	}
}

func deleting(t *testing.T, s *Server) {
	bound(t, s)
	if err := s.Pods().Delete(key, Deletion{}); err != nil {
		t.Fatal(err)
	}
}

func gated(t *testing.T, s *Server) {
	p := newPod(key.Name)
	p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "wait"}}
	made(t, s.Pods(), p)
}

func TestEviction(t *testing.T) {
	running := func(t *testing.T, s *Server) *corev1.Pod {
		bound(t, s)
		p, err := s.Pods().Change(key, "", func(p *corev1.Pod) error { p.Status.Phase = corev1.PodRunning; return nil })
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	cases := map[string]struct {
		pod     func(*testing.T, *Server) *corev1.Pod
		budget  bool // which allows nothing
		another bool // UID
		want    func(error) bool
	}{
		"running":                      {pod: running},
		"running, against a budget":    {pod: running, budget: true, want: apierrors.IsTooManyRequests},
		"not begun, against a budget":  {pod: bound, budget: true},
		"another of the same name":     {pod: running, another: true, want: apierrors.IsConflict},
		"another, against its budget":  {pod: running, another: true, budget: true, want: apierrors.IsTooManyRequests},
		"another that has not started": {pod: bound, another: true, budget: true, want: apierrors.IsConflict},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *Server) {
				p := c.pod(t, s)
				if c.budget {
					s.RefuseEvictions(func(*corev1.Pod) bool { return true })
				}
				uid := p.UID
				if c.another {
					uid = "another"
				}
				err := dial(s, Healthy()).Pods().Evict(t.Context(), key, uid)
				if (c.want == nil) != (err == nil) || c.want != nil && !c.want(err) {
					t.Errorf("error is %v", err)
				}
				if now, ok := s.Pods().Get(key); !ok || (now.DeletionTimestamp != nil) != (err == nil) {
					t.Errorf("deletion of the pod is %v after error %v", now.DeletionTimestamp, err)
				}
			})
		})
	}
}
