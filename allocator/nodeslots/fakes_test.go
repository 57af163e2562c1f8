package nodeslots

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"slotwise.dev/slotwise/allocator/api/v1alpha1"
)

var (
	errAPI   = errors.New("the API server does not answer")
	resource = schema.GroupResource{Group: "slotwise.dev", Resource: "nodeslots"}
)

// object is one in the API server.
type object struct {
	status  v1alpha1.NodeSlotsStatus
	version int
}

// store is an API server. It begins at second zero.
type store struct {
	start time.Time
	takes time.Duration // before a request is carried out

	mu      sync.Mutex
	objects map[string]object
	version int
	log     []string               // of changes, as "second: what"
	fail    func(verb string) fate // of the next requests; nil: all is well
	changed func(name string)      // is called after each change; nil: nobody is
}

// fate is what becomes of a request.
type fate int

const (
	done    fate = iota
	refused      // it is not carried out
	lost         // it is carried out, but the answer is an error
	late         // the answer is an error, and it is carried out ten seconds later
)

func newStore() *store { return &store{start: time.Now(), objects: map[string]object{}} }

func (s *store) Read(ctx context.Context, name string) (v1alpha1.NodeSlotsStatus, string, error) {
	if err := s.arrive(ctx); err != nil {
		return v1alpha1.NodeSlotsStatus{}, "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fateOf("read") != done {
		return v1alpha1.NodeSlotsStatus{}, "", errAPI
	}
	o, there := s.objects[name]
	if !there {
		return v1alpha1.NodeSlotsStatus{}, "", apierrors.NewNotFound(resource, name)
	}
	return o.status, strconv.Itoa(o.version), nil
}

func (s *store) Write(ctx context.Context, name, version string, status v1alpha1.NodeSlotsStatus) (string, error) {
	if version == "" { // it is found first, or made
		s.mu.Lock()
		if _, there := s.objects[name]; !there {
			s.version++
			s.objects[name] = object{version: s.version}
		}
		version = strconv.Itoa(s.objects[name].version)
		s.mu.Unlock()
	}
	return s.request(ctx, "write", func() (string, error) {
		o, there := s.objects[name]
		switch {
		case !there:
			return "", apierrors.NewNotFound(resource, name)
		case strconv.Itoa(o.version) != version:
			return "", apierrors.NewConflict(resource, name, errors.New("it has another version"))
		}
		s.version++
		s.objects[name] = object{status, s.version}
		s.note("%s in use %d free %s", name, status.InUse, strings.Join(status.KnownFree, " "))
		return strconv.Itoa(s.version), nil
	})
}

func (s *store) Remove(ctx context.Context, name string) error {
	_, err := s.request(ctx, "remove", func() (string, error) {
		if _, there := s.objects[name]; there {
			delete(s.objects, name)
			s.note("%s removed", name)
		}
		return "", nil
	})
	return err
}

// request carries a change out, by its fate.
func (s *store) request(ctx context.Context, verb string, do func() (string, error)) (string, error) {
	if err := s.arrive(ctx); err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.fateOf(verb) {
	case done:
	case refused:
		return "", errAPI
	case lost:
		_, _ = do()
		return "", errAPI
	case late:
		time.AfterFunc(10*time.Second, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			_, _ = do()
		})
		return "", errAPI
	}
	return do()
}

// arrive is the way of a request to the API server.
func (s *store) arrive(ctx context.Context) error {
	select {
	case <-time.After(s.takes):
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fateOf is what becomes of the next request. Caller holds s.mu.
func (s *store) fateOf(verb string) fate {
	if s.fail == nil {
		return done
	}
	return s.fail(verb)
}

// note notes a change. Caller holds s.mu.
func (s *store) note(format string, args ...any) {
	what := strings.TrimSpace(fmt.Sprintf(format, args...))
	s.log = append(s.log, fmt.Sprintf("%v: %s", time.Since(s.start).Seconds(), what))
	if s.changed != nil {
		s.changed(what)
	}
}

// another is another client's write.
func (s *store) another(name string, free ...string) (version string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	s.objects[name] = object{v1alpha1.NodeSlotsStatus{NetworkInterface: "eni-1", KnownFree: free}, s.version}
	return strconv.Itoa(s.version)
}

// fails sets what becomes of the next requests.
func (s *store) fails(fail func(verb string) fate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = fail
}

// once is what becomes of one request; the others are carried out.
func once(f fate) func(string) fate {
	return func(string) fate {
		defer func() { f = done }()
		return f
	}
}

// always is what becomes of all requests.
func always(f fate) func(string) fate { return func(string) fate { return f } }

// of is the object of a Node as it is now.
func (s *store) of(name string) (o object, there bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, there = s.objects[name]
	return o, there
}

// want compares the changes since they were compared last.
func (s *store) want(t *testing.T, want ...string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.log, want) {
		t.Errorf("these changes were made:\n%q\nwant\n%q", s.log, want)
	}
	s.log = nil
}

// node is a node with a few addresses.
type node struct {
	looked func() // is called in the midst of Status, with no lock held; nil: nobody is

	mu    sync.Mutex
	name  string
	ready bool
	free  []string
	inUse int
	given time.Time // when an address was given last

	converged metav1.ConditionStatus // empty: it has no conditions
}

func (n *node) Name() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.name
}

func (n *node) Status(still time.Duration) (v1alpha1.NodeSlotsStatus, time.Duration, bool) {
	s, wait, ready := n.status(still)
	if n.looked != nil {
		n.looked()
	}
	return s, wait, ready
}

func (n *node) status(still time.Duration) (s v1alpha1.NodeSlotsStatus, wait time.Duration, ready bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.ready {
		return s, 0, false
	}
	s = v1alpha1.NodeSlotsStatus{NetworkInterface: "eni-1", InUse: int32(n.inUse)}
	if n.converged != "" {
		s.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionConverged, Status: n.converged}}
	}
	if wait = time.Until(n.given.Add(still)); wait > 0 {
		return s, wait, true
	}
	s.KnownFree = slices.Clone(n.free)
	return s, 0, true
}

// take takes a free address out of the ledger, if there is one.
func (n *node) take() (address string, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.free) == 0 {
		return "", false
	}
	address, n.free = n.free[0], slices.Clone(n.free[1:])
	n.inUse++
	n.given = time.Now()
	return address, true
}

// gives takes addresses back that no pod has any more.
func (n *node) gives(addresses ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.free = append(slices.Clone(n.free), addresses...)
	n.inUse -= len(addresses)
}

// set changes how the node is.
func (n *node) set(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
}

// world is a node, win-1 of an instance, and a recorder that keeps its object.
type world struct {
	*store
	*Recorder
	ctx    context.Context // of the test
	node   *node
	object *Object
}

// newWorld is at second zero: a node that is ready, with two free addresses, and no object.
func newWorld(t *testing.T) *world {
	w := &world{
		store: newStore(), ctx: t.Context(),
		node: &node{name: "win-1", ready: true, free: []string{"10.0.0.1/32", "10.0.0.2/32"}},
	}
	w.Recorder = New(Options{Store: w.store, Log: testr.New(t), Find: func(node string) *Object {
		if node == "win-1" || node == "win-2" {
			return w.object
		}
		return nil
	}})
	w.object = w.Object(w.node)
	go w.Run(t.Context())
	return w
}

// listed is the world at second ten, with both addresses listed since second one.
func listed(t *testing.T) *world {
	w := newWorld(t)
	w.Changed("win-1")
	w.until(10)
	w.want(t, "1: win-1 in use 0 free 10.0.0.1/32 10.0.0.2/32")
	return w
}

// until lets time pass until a second of the world.
func (w *world) until(second float64) {
	time.Sleep(time.Until(w.start.Add(time.Duration(second * float64(time.Second)))))
}

// bind takes an address as a bind does: out of the ledger first, then off the list.
func (w *world) bind(ctx context.Context) (address string, err error) {
	address, ok := w.node.take()
	if !ok {
		return "", nil
	}
	if err := w.object.TakeBack(ctx); err != nil {
		w.node.gives(address)
		return "", err
	}
	return address, nil
}
