package apiserver

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/watch"
)

// ended brings the pod of key to its end.
func ended(t *testing.T, s *Server) {
	bound(t, s)
	if _, err := s.Pods().Change(key, "", func(p *corev1.Pod) error { p.Status.Phase = corev1.PodSucceeded; return nil }); err != nil {
		t.Fatal(err)
	}
}

func TestDeletion(t *testing.T) {
	cases := map[string]struct {
		pod   func(*testing.T, *Server)
		grace *int64
		after time.Duration // since an earlier deletion
		want  []watch.EventType
		left  time.Duration // until the end of the pod that is still there
	}{
		"on a node":                      {pod: func(t *testing.T, s *Server) { bound(t, s) }, want: marked, left: 30 * time.Second},
		"on a node, sooner":              {pod: func(t *testing.T, s *Server) { bound(t, s) }, grace: new(int64(5)), want: marked, left: 5 * time.Second},
		"on a node, by force":            {pod: func(t *testing.T, s *Server) { bound(t, s) }, grace: Force(), want: gone},
		"on no node":                     {pod: func(t *testing.T, s *Server) { made(t, s.Pods(), newPod(key.Name)) }, want: gone},
		"on no node, with time":          {pod: func(t *testing.T, s *Server) { made(t, s.Pods(), newPod(key.Name)) }, grace: new(int64(5)), want: gone},
		"ended":                          {pod: ended, want: gone},
		"once more":                      {pod: deleting, left: 30 * time.Second},
		"once more, later":               {pod: deleting, grace: new(int64(60)), left: 30 * time.Second},
		"once more, sooner":              {pod: deleting, grace: new(int64(10)), after: 4 * time.Second, want: marked, left: 6 * time.Second},
		"once more, sooner than already": {pod: deleting, grace: new(int64(2)), after: 4 * time.Second, want: marked, left: 0},
		"by its kubelet":                 {pod: deleting, grace: Force(), after: 4 * time.Second, want: gone},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *Server) {
				c.pod(t, s)
				time.Sleep(c.after)
				var seen []watch.EventType
				s.Observe(func(e Event) { seen = append(seen, e.Type) })
				if err := s.Pods().Via(dial(s, Conditions{})).Delete(t.Context(), key, Deletion{Grace: c.grace}); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(seen, c.want) {
					t.Errorf("commits are %v, want %v", seen, c.want)
				}
				p, there := s.Pods().Get(key)
				if there == slices.Equal(c.want, gone) {
					t.Fatalf("the pod is there: %v", there)
				}
				if there && time.Until(p.DeletionTimestamp.Time) != c.left {
					t.Errorf("it ends in %v, want %v", time.Until(p.DeletionTimestamp.Time), c.left)
				}
			})
		})
	}
}

var (
	marked = []watch.EventType{watch.Modified}
	gone   = []watch.EventType{watch.Modified, watch.Deleted}
)

func TestPreconditions(t *testing.T) {
	bubble(t, func(t *testing.T, s *Server) {
		first := bound(t, s)
		remote := s.Pods().Via(dial(s, Healthy()))
		touch := func(p *corev1.Pod) error { p.Labels = map[string]string{"touched": "yes"}; return nil }
		second, err := remote.Change(t.Context(), key, first.UID, touch)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := remote.Update(t.Context(), first); !apierrors.IsConflict(err) {
			t.Errorf("an update of the version before: %v", err)
		}
		if err := remote.Delete(t.Context(), key, Deletion{Version: first.ResourceVersion}); !apierrors.IsConflict(err) {
			t.Errorf("a deletion of the version before: %v", err)
		}
		if err := remote.Delete(t.Context(), key, Deletion{UID: "another"}); !apierrors.IsConflict(err) {
			t.Errorf("a deletion of another pod: %v", err)
		}
		if _, err := remote.Change(t.Context(), key, "another", touch); !apierrors.IsInvalid(err) {
			t.Errorf("a patch of another pod: %v", err)
		}
		another := second.DeepCopy()
		another.UID = "another"
		if _, err := remote.Update(t.Context(), another); !apierrors.IsConflict(err) {
			t.Errorf("an update of another pod: %v", err)
		}
		moved := second.DeepCopy()
		moved.Spec.NodeName = "elsewhere"
		if _, err := remote.Update(t.Context(), moved); !apierrors.IsInvalid(err) {
			t.Errorf("an update that moves the pod: %v", err)
		}
		if _, err := remote.Create(t.Context(), newPod(key.Name)); !apierrors.IsAlreadyExists(err) {
			t.Errorf("a second pod of the name: %v", err)
		}
		version := s.Version()
		if _, err := remote.Update(t.Context(), second); err != nil || s.Version() != version {
			t.Errorf("an update that changes nothing: %v, version %d after %d", err, s.Version(), version)
		}
		second = second.DeepCopy()
		second.Labels["touched"] = "again"
		if _, err := remote.Update(t.Context(), second); err != nil || s.Version() != version+1 {
			t.Errorf("an update of this version: %v, version %d after %d", err, s.Version(), version)
		}
	})
}
