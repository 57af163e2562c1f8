package scheduler

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"slotwise.dev/slotwise/test/sim/apiserver"
)

// Replica is a process that serves the extender, as the network reaches it.
type Replica struct {
	Handler http.Handler
	// Gate is what requests and answers pass; nil: it is always open.
	Gate apiserver.Gate
	// Done is closed when the process ends, which breaks its connections; nil: never.
	Done <-chan struct{}
}

// Dialer opens connections to the extender.
type Dialer interface {
	// Dial is whom a new connection reaches, or the error of an attempt that nobody
	// takes. It does not wait.
	Dial() (*Replica, error)
}

// ErrRefused is the error of a connection that nobody takes.
var ErrRefused = errors.New("connect: connection refused")

var (
	errReset   = errors.New("read: connection reset by peer")
	errSilence = errors.New("http2: client connection lost")
)

const (
	// idleTime is how long kube-scheduler keeps a connection without a request
	// (apimachinery/pkg/util/net/http.go SetTransportDefaults, net/http).
	idleTime = 90 * time.Second
	// pingTime is how long the other end has to answer a ping, which is sent where it
	// has been silent for 30 s (pingTimeoutSeconds; http2 ReadIdleTimeout).
	pingTime = 15 * time.Second
)

// conn is a connection of HTTP/2: many requests share it, and one that is given up does
// not end it. Go answers pings of HTTP/2 by itself, so that a process that is frozen is
// told from one that takes its time.
type conn struct {
	replica *Replica
	broken  chan struct{} // closed once it has ended
	lose    func()        // ends it
	used    time.Time     // last; guarded by the lock of the HTTPExtender
	pinging atomic.Bool
	running atomic.Int64 // requests
	goaway  atomic.Bool  // it takes no more requests; those under way are answered
}

func newConn(r *Replica) *conn {
	c := &conn{replica: r, broken: make(chan struct{})}
	c.lose = sync.OnceFunc(func() { close(c.broken) })
	return c
}

func (c *conn) usable(now time.Time) bool {
	if c == nil || c.goaway.Load() || c.running.Load() == 0 && now.Sub(c.used) > idleTime {
		return false
	}
	select {
	case <-c.broken:
		return false
	case <-c.replica.Done:
		return false
	default:
		return true
	}
}

func (c *conn) use(now time.Time) { c.used = now }

// send sends one request and waits for its answer, until ctx ends or the connection does.
func (c *conn) send(ctx context.Context, verb string, body []byte, there, back time.Duration) (status int, text []byte, err error) {
	c.running.Add(1)
	defer c.running.Add(-1)
	answer := make(chan *response, 1)
	go c.serve(ctx, verb, body, there, back, answer)
	select {
	case r := <-answer:
		return r.status, r.body.Bytes(), nil
	case <-c.broken:
		return 0, nil, errSilence
	case <-c.replica.Done:
		c.lose()
		return 0, nil, errReset
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) && c.pinging.CompareAndSwap(false, true) {
			go c.ping()
		}
		return 0, nil, ctx.Err()
	}
}

// serve is what becomes of a request: it gets to the replica, is handled there, and the
// answer comes back. That the client has given up the replica hears when it is not frozen.
func (c *conn) serve(ctx context.Context, verb string, body []byte, there, back time.Duration, answer chan<- *response) {
	if there > 0 && !sleep(ctx, there) || !c.passIn() {
		return
	}
	served, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		c.passIn()
		cancel()
	})
	defer stop()
	r := &response{status: http.StatusOK}
	request := &http.Request{
		Method: http.MethodPost, URL: &url.URL{Path: "/" + verb}, Proto: "HTTP/2.0", ProtoMajor: 2,
		Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
	}
	c.replica.Handler.ServeHTTP(r, request.WithContext(served))
	if !c.passOut() || back > 0 && !sleep(ctx, back) {
		return
	}
	if r.Header().Get("Connection") == "close" { // Go's server of HTTP/2 sends a GOAWAY (http2/server.go)
		c.goaway.Store(true)
	}
	answer <- r
}

// passIn waits until something has got into the replica; false: it has crashed.
func (c *conn) passIn() bool {
	if c.replica.Gate != nil && c.replica.Gate.Leave() != nil {
		c.lose()
		return false
	}
	return true
}

// passOut waits until something has got out of the replica; false: it has crashed.
func (c *conn) passOut() bool {
	if c.replica.Gate == nil {
		return true
	}
	if _, err := c.replica.Gate.Enter(false); err != nil {
		c.lose()
		return false
	}
	return true
}

// ping ends the connection unless the replica answers in time.
func (c *conn) ping() {
	defer c.pinging.Store(false)
	ctx, cancel := context.WithTimeout(context.Background(), pingTime)
	defer cancel()
	heard := make(chan struct{})
	go func() {
		if c.passIn() && c.passOut() {
			close(heard)
		}
	}()
	select {
	case <-heard:
	case <-c.broken:
	case <-ctx.Done():
		c.lose()
	}
}

// response is an answer as it is written.
type response struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *response) Header() http.Header {
	if r.header == nil {
		r.header = http.Header{}
	}
	return r.header
}

func (r *response) WriteHeader(status int) { r.status = status }

func (r *response) Write(b []byte) (int, error) { return r.body.Write(b) }
