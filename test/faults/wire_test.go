package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
)

// wire is the connection of one process to the API server. Faults on it concern
// that process alone: the API server itself serves all tests.
type wire struct {
	mu      sync.Mutex
	faults  []*wireFault
	watches map[*stream]struct{}
}

// carrier does with a request what a fault wants; pass sends one to the API server.
type carrier func(r *http.Request, pass roundTripper) (*http.Response, error)

type wireFault struct {
	matches func(*http.Request) bool
	carry   carrier
}

// config is a client configuration whose requests travel on the wire.
func (w *wire) config(rc *rest.Config) *rest.Config {
	rc = rest.CopyConfig(rc)
	rc.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) { return w.carry(r, next) })
	})
	return rc
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// inject has a carrier carry the requests that match, until it is removed. Of
// several that match the oldest one counts.
func (w *wire) inject(matches func(*http.Request) bool, carry carrier) (remove func()) {
	f := &wireFault{matches, carry}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(w.faults, f)
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.faults = slices.DeleteFunc(w.faults, func(x *wireFault) bool { return x == f })
	}
}

func (w *wire) carry(r *http.Request, next http.RoundTripper) (*http.Response, error) {
	pass := func(r *http.Request) (*http.Response, error) {
		answer, err := next.RoundTrip(r)
		if err == nil && r.URL.Query().Get("watch") != "" {
			answer.Body = w.follow(answer.Body)
		}
		return answer, err
	}
	w.mu.Lock()
	i := slices.IndexFunc(w.faults, func(f *wireFault) bool { return f.matches(r) })
	if i < 0 {
		w.mu.Unlock()
		return pass(r)
	}
	f := w.faults[i]
	w.mu.Unlock()
	return f.carry(r, pass)
}

// record notes the requests that match from now on, each as its method and path. It
// lets them pass.
func (w *wire) record(matches func(*http.Request) bool) (seen func() []string) {
	var mu sync.Mutex
	var all []string
	w.inject(matches, func(r *http.Request, pass roundTripper) (*http.Response, error) {
		mu.Lock()
		all = append(all, r.Method+" "+r.URL.Path)
		mu.Unlock()
		return pass(r)
	})
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
}

// hold keeps the first request that matches, and has a text in its body, on its way
// until it is opened, even when its client has given it up. held is closed once it is
// on its way; open returns the status with which the API server answers it then.
func (w *wire) hold(matches func(*http.Request) bool, text string) (held <-chan struct{}, open func() (status int)) {
	kept, opened, answered := make(chan struct{}), make(chan struct{}), make(chan int, 1)
	var once sync.Once
	w.inject(matches, func(r *http.Request, pass roundTripper) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		first := false
		if strings.Contains(string(body), text) {
			once.Do(func() { first = true })
		}
		if !first {
			return pass(r)
		}
		close(kept)
		select {
		case <-opened:
		case <-time.After(awaitTimeout): // the test has failed before it came to open it
		}
		answer, err := pass(r.WithContext(context.WithoutCancel(r.Context())))
		if err != nil {
			close(answered)
			return nil, err
		}
		answered <- answer.StatusCode
		return answer, nil
	})
	return kept, func() int { close(opened); return <-answered }
}

// away cuts the wire for good: no request is sent, and watches end.
func (w *wire) away() {
	w.inject(everything, unsent)
	w.mu.Lock()
	defer w.mu.Unlock()
	for s := range w.watches {
		_ = s.ReadCloser.Close()
	}
}

// stream is the body of a watch.
type stream struct {
	io.ReadCloser
	w *wire
}

func (w *wire) follow(body io.ReadCloser) *stream {
	s := &stream{ReadCloser: body, w: w}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.watches == nil {
		w.watches = map[*stream]struct{}{}
	}
	w.watches[s] = struct{}{}
	return s
}

func (s *stream) Close() error {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	delete(s.w.watches, s)
	return s.ReadCloser.Close()
}

// Which requests.

func everything(*http.Request) bool { return true }

// writes are all requests that change something.
func writes(r *http.Request) bool { return r.Method != http.MethodGet }

// bindings are those that bind a pod.
func bindings(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/binding") }

// slotWrites write NodeSlots objects.
func slotWrites(r *http.Request) bool { return nodeSlots(r) && writes(r) }

// nodeSlots are those for NodeSlots objects.
func nodeSlots(r *http.Request) bool { return strings.Contains(r.URL.Path, "/nodeslots") }

// about requests for one object, by the end of its path.
func about(path string) func(*http.Request) bool {
	return func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, path) }
}

// What becomes of them.

// unsent is a request that nobody answers the telephone for.
func unsent(*http.Request, roundTripper) (*http.Response, error) {
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
}

// lostBefore loses a request before it reaches the API server, as far as the
// client can tell on its way back.
func lostBefore(*http.Request, roundTripper) (*http.Response, error) {
	return nil, io.ErrUnexpectedEOF
}

// lostAfter loses the answer of a request that was carried out.
func lostAfter(r *http.Request, pass roundTripper) (*http.Response, error) {
	answer, err := pass(r)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return nil, err
	}
	return nil, errors.Join(io.ErrUnexpectedEOF, answer.Body.Close())
}

// late has a request carried out only a while after the client has given it up, and
// tells when that is done.
func late(after time.Duration, done func()) carrier {
	return func(r *http.Request, pass roundTripper) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		again := r.Clone(context.Background())
		again.Body = io.NopCloser(bytes.NewReader(body))
		time.AfterFunc(after, func() {
			defer done()
			if answer, err := pass(again); err == nil {
				_ = answer.Body.Close()
			}
		})
		return nil, io.ErrUnexpectedEOF
	}
}

// conflict is the answer to a write that another one has overtaken.
func conflict(r *http.Request, _ roundTripper) (*http.Response, error) {
	status := apierrors.NewConflict(schema.GroupResource{Resource: "things"}, r.URL.Path, fmt.Errorf("the object has been modified")).Status()
	status.Kind, status.APIVersion = "Status", "v1"
	body, err := json.Marshal(status)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		Status: http.StatusText(http.StatusConflict), StatusCode: http.StatusConflict,
		Proto: r.Proto, ProtoMajor: r.ProtoMajor, ProtoMinor: r.ProtoMinor,
		Header: http.Header{"Content-Type": {"application/json"}}, ContentLength: int64(len(body)),
		Body: io.NopCloser(bytes.NewReader(body)), Request: r,
	}, nil
}

// first has a carrier carry the first request for each object, and lets the later
// ones pass.
func first(carry carrier) carrier {
	var seen sync.Map
	return func(r *http.Request, pass roundTripper) (*http.Response, error) {
		if _, again := seen.LoadOrStore(r.Method+r.URL.Path, true); again {
			return pass(r)
		}
		return carry(r, pass)
	}
}
