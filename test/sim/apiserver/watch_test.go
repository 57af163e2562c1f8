package apiserver

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// collect reads what a watch brings until nothing more comes.
func collect(w watch.Interface, within time.Duration) (seen []string) {
	for {
		select {
		case e, open := <-w.ResultChan():
			if !open {
				return append(seen, "END")
			}
			seen = append(seen, fmt.Sprint(e.Type, " ", e.Object.(Object).GetName()))
		case <-time.After(within):
			return seen
		}
	}
}

// A watch of what is chosen shows what comes into the choice and what leaves it.
func TestWatchOfAChoice(t *testing.T) {
	bubble(t, func(t *testing.T, s *Server) {
		c := dial(s, Healthy())
		chosen := func(p *corev1.Pod) bool { return p.Spec.NodeName == "node" && p.Labels["out"] == "" }
		w, err := s.Pods().Via(c).Watch(t.Context(), ListOptions[*corev1.Pod]{Match: chosen})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		for name, node := range map[string]string{"a": "node", "b": "another"} {
			p := made(t, s.Pods(), newPod(name))
			if err := c.Bind(t.Context(), Assignment{Pod: keyOf(p), Node: node}); err != nil {
				t.Fatal(err)
			}
			for _, out := range []string{"", "yes", ""} {
				label := func(p *corev1.Pod) error { p.Labels = map[string]string{"out": out}; return nil }
				if _, err := s.Pods().Change(keyOf(p), "", label); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Pods().Delete(keyOf(p), Deletion{Grace: Force()}); err != nil {
				t.Fatal(err)
			}
		}
		want := []string{"ADDED a", "MODIFIED a", "DELETED a", "ADDED a", "MODIFIED a", "DELETED a"}
		if seen := collect(w, time.Second); !slices.Equal(seen, want) {
			t.Errorf("seen %q, want %q", seen, want)
		}
	})
}

// An event comes late, and never before the one before it.
func TestLag(t *testing.T) {
	bubble(t, func(t *testing.T, s *Server) {
		c := dial(s, Conditions{Lag: Spread{Min: time.Second, Max: 9 * time.Second}})
		w, err := s.Pods().Via(c).Watch(t.Context(), ListOptions[*corev1.Pod]{})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		start := time.Now()
		for i := range 10 {
			made(t, s.Pods(), newPod(strconv.Itoa(i)))
		}
		for i := range 10 {
			e := <-w.ResultChan()
			if name := e.Object.(*corev1.Pod).Name; name != strconv.Itoa(i) || time.Since(start) < time.Second {
				t.Fatalf("event %d is of pod %s, after %v", i, name, time.Since(start))
			}
		}
		if time.Since(start) > 9*time.Second {
			t.Errorf("the last came after %v", time.Since(start))
		}
	})
}

func TestWatchFromAVersion(t *testing.T) {
	bubble(t, func(t *testing.T, s *Server) {
		pods := s.Pods().Via(dial(s, Conditions{}))
		first := made(t, s.Pods(), newPod("first"))
		made(t, s.Pods(), newPod("second"))
		w, err := pods.Watch(t.Context(), ListOptions[*corev1.Pod]{Version: first.ResourceVersion})
		if err != nil {
			t.Fatal(err)
		}
		if seen := collect(w, time.Second); !slices.Equal(seen, []string{"ADDED second"}) {
			t.Errorf("after the first: %q", seen)
		}
		w.Stop()
		for i := range 3 * historyLeast {
			made(t, s.Pods(), newPod("more-"+strconv.Itoa(i)))
		}
		if w, err = pods.Watch(t.Context(), ListOptions[*corev1.Pod]{Version: first.ResourceVersion}); err != nil {
			t.Fatalf("within the history: %v", err)
		}
		w.Stop()
		unlucky := s.Pods().Via(dial(s, Conditions{Expire: 1}))
		if _, err = unlucky.Watch(t.Context(), ListOptions[*corev1.Pod]{Version: first.ResourceVersion}); !apierrors.IsResourceExpired(err) {
			t.Errorf("within the history, of a server that does not have it: %v", err)
		}
		time.Sleep(2 * historyWindow)
		for i := range historyLeast {
			made(t, s.Pods(), newPod("later-"+strconv.Itoa(i)))
		}
		if _, err := pods.Watch(t.Context(), ListOptions[*corev1.Pod]{Version: first.ResourceVersion}); !apierrors.IsResourceExpired(err) {
			t.Errorf("past the history: %v", err)
		}
	})
}

func TestStaleList(t *testing.T) {
	bubble(t, func(t *testing.T, s *Server) {
		made(t, s.Pods(), newPod("kept"))
		gone := made(t, s.Pods(), newPod("gone"))
		time.Sleep(time.Minute)
		if err := s.Pods().Delete(keyOf(gone), Deletion{}); err != nil {
			t.Fatal(err)
		}
		late := made(t, s.Pods(), newPod("late"))
		time.Sleep(time.Second)
		pods := s.Pods().Via(dial(s, Conditions{Stale: 10 * time.Second}))
		names := func(o ListOptions[*corev1.Pod]) string {
			found, version, err := pods.List(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			words := []string{version + ":"}
			for _, p := range found {
				words = append(words, p.Name)
			}
			return strings.Join(words, " ")
		}
		newest := late.ResourceVersion + ": kept late"
		old := gone.ResourceVersion + ": gone kept"
		seen := map[string]int{}
		for range 100 {
			seen[names(ListOptions[*corev1.Pod]{Version: "0"})]++
		}
		if seen[old] == 0 || seen[newest] == 0 || len(seen) != 2 {
			t.Errorf("lists of any state are %v, want some %q and some %q", seen, old, newest)
		}
		for range 20 {
			if got := names(ListOptions[*corev1.Pod]{}); got != newest {
				t.Fatalf("the newest is %q, want %q", got, newest)
			}
			if got := names(ListOptions[*corev1.Pod]{Version: late.ResourceVersion}); got != newest {
				t.Fatalf("not older than the newest is %q, want %q", got, newest)
			}
		}
	})
}

// counting is the ListerWatcher of the bound pods, and counts what is asked of it.
type counting struct {
	listerWatcher[*corev1.Pod]
	lists, watches int
}

func (c *counting) ListWithContext(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
	c.lists++
	return c.listerWatcher.ListWithContext(ctx, o)
}

func (c *counting) WatchWithContext(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	c.watches++
	return c.listerWatcher.WatchWithContext(ctx, o)
}

// client-go's own Reflector comes to the truth over a link that cuts its watches and has
// them expire.
func TestReflector(t *testing.T) {
	bubble(t, func(t *testing.T, s *Server) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		bad := Healthy()
		bad.CutWatch, bad.Expire, bad.Stale, bad.LoseAnswer = 0.2, 0.5, time.Second, 0.1
		c := dial(s, bad)
		lw := &counting{listerWatcher: c.BoundPods().(listerWatcher[*corev1.Pod])}
		store := cache.NewStore(cache.MetaNamespaceKeyFunc)
		go cache.NewReflectorWithOptions(lw, &corev1.Pod{}, store, cache.ReflectorOptions{}).RunWithContext(ctx)
		for i := range 100 {
			p := made(t, s.Pods(), newPod(strconv.Itoa(i)))
			if err := dial(s, Conditions{}).Bind(ctx, Assignment{Pod: keyOf(p), Node: "node"}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			if i%2 == 0 {
				if err := s.Pods().Delete(keyOf(p), Deletion{Grace: Force()}); err != nil {
					t.Fatal(err)
				}
			}
		}
		c.link.Set(Healthy())
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got := store.ListKeys(); len(got) != 50 {
			t.Errorf("the reflector has %d pods, want 50", len(got))
		}
		if lw.lists < 2 || lw.watches < 2 {
			t.Errorf("%d lists and %d watches: nothing was cut", lw.lists, lw.watches)
		}
		t.Logf("%d lists, %d watches", lw.lists, lw.watches)
	})
}

func TestInformer(t *testing.T) {
	bubble(t, func(t *testing.T, s *Server) {
		bad := Healthy()
		bad.CutWatch, bad.Expire, bad.Unavailable = 0.2, 0.5, 0.1
		c := dial(s, bad)
		var changes []string
		name := func(p *corev1.Pod) string {
			if p == nil {
				return "-"
			}
			return p.Name
		}
		i := s.Pods().Via(c).Informer(t.Context(), nil, func(old, now *corev1.Pod) { changes = append(changes, name(old)+">"+name(now)) })
		<-i.Synced()
		first := made(t, s.Pods(), newPod("first"))
		made(t, s.Pods(), newPod("second"))
		time.Sleep(10 * time.Second)
		s.Down()
		if err := s.Pods().Delete(keyOf(first), Deletion{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if _, had := i.Get(keyOf(first)); !had {
			t.Error("the informer knows what no watch has told")
		}
		s.Up()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if list := i.List(); len(list) != 1 || list[0].Name != "second" {
			t.Errorf("the informer has %d pods", len(list))
		}
		for _, want := range []string{"->first", "->second", "first>-"} {
			if !slices.Contains(changes, want) {
				t.Errorf("changes are %v, without %s", changes, want)
			}
		}
	})
}

// What happens while the network is parted, or the API server frozen, is seen after it.
func TestWatchWaits(t *testing.T) {
	bubble(t, func(t *testing.T, s *Server) {
		pods := s.Pods().Via(dial(s, Healthy()))
		w, err := pods.Watch(t.Context(), ListOptions[*corev1.Pod]{})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		link := pods.client.link
		for name, stop := range map[string][2]func(){"parted": {link.Partition, link.Heal}, "frozen": {s.Freeze, s.Thaw}} {
			stop[0]()
			made(t, s.Pods(), newPod(name))
			time.AfterFunc(30*time.Second, stop[1])
			start := time.Now()
			if e := <-w.ResultChan(); e.Object.(*corev1.Pod).Name != name || time.Since(start) != 30*time.Second {
				t.Errorf("%v, seen after %v", e, time.Since(start))
			}
		}
	})
}

// Watches that are cut, closed, or of clients that have gone, leave nothing behind.
func TestWatchesEnd(t *testing.T) {
	bubble(t, func(t *testing.T, s *Server) {
		pods := s.Pods().Via(dial(s, Conditions{}))
		end := map[string]func(w watch.Interface, cancel func()){
			"stop":    func(w watch.Interface, _ func()) { w.Stop() },
			"context": func(_ watch.Interface, cancel func()) { cancel() },
			"cut":     func(watch.Interface, func()) { pods.client.link.Cut() },
			"partition": func(watch.Interface, func()) {
				pods.client.link.Partition()
				time.Sleep(silence + 1)
				pods.client.link.Heal()
			},
			"freeze": func(watch.Interface, func()) { s.Freeze(); time.Sleep(silence + 1); s.Thaw() },
			"down":   func(watch.Interface, func()) { s.Down() },
		}
		for name, by := range end {
			s.Up()
			time.Sleep(2 * youth)
			ctx, cancel := context.WithCancel(t.Context())
			w, err := pods.Watch(ctx, ListOptions[*corev1.Pod]{})
			if err != nil {
				t.Fatal(err)
			}
			by(w, cancel)
			synctest.Wait()
			if seen := collect(w, time.Second); !slices.Equal(seen, []string{"END"}) {
				t.Errorf("%s: seen %q", name, seen)
			}
			if n := len(s.store.kinds[Pods].watches) + len(pods.client.link.watches); n != 0 {
				t.Errorf("%s: %d watches are left", name, n)
			}
			cancel()
		}
	})
}
