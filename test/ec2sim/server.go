// Package ec2sim is a simulated EC2: an HTTP server in EC2's own query
// protocol, which the unmodified AWS SDK talks to when its BaseEndpoint is the
// server's URL. It knows subnets with real addresses, instances and their
// network interfaces, and the seven actions that a manager of secondary
// addresses and prefixes needs, with EC2's rules and error codes; and it can be
// as slow, as stale and as faulty as EC2.
//
// An inventory is built by methods (AddSubnet, AddInstance, ...) or from a file
// (Build); tests play other clients by methods too (Assign, Occupy, ...), and
// read what happened (Calls, Changes, Check). Everything may be called at any
// time from any goroutine. Who may come in: tests, benchmarks and the demo;
// nothing that is shipped.
package ec2sim

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// Options are the settings of a new Server. The zero value answers after
// LeastLatency, never throttles, is never stale, and gives out the lowest free
// address.
type Options struct {
	// Seed of everything that is random: jitter and the probability of faults.
	Seed uint64
	// Latency by action; AnyAction is for those that are not named.
	Latency map[string]Latency
	// Throttle by action; AnyAction is for those that are not named, which then
	// have a bucket each. See AWSThrottling.
	Throttle map[string]Bucket
	// Lag is how old the state is that Describe actions answer with, at most
	// MaxLag.
	Lag time.Duration
	// PageSize bounds the pages of Describe actions, also where the client asks
	// for larger ones or for none; 0 is no bound.
	PageSize int
	// Reuse is the order in which free addresses are given out.
	Reuse Reuse
	// Types are the instance types; nil means Types().
	Types []Type
}

// Server is a simulated EC2. It is an http.Handler, and Start serves it.
type Server struct {
	behaviour *behaviour
	log       callLog

	mu    sync.Mutex // guards model
	model *model

	http   http.Server
	closed chan struct{}
	close  func()
}

// New makes an EC2 without subnets and instances.
func New(o Options) *Server {
	types := o.Types
	if types == nil {
		types = Types()
	}
	s := &Server{
		behaviour: newBehaviour(o),
		model:     newModel(types, o.Reuse),
		closed:    make(chan struct{}),
	}
	s.http.Handler = s
	s.http.ReadHeaderTimeout = 10 * time.Second
	s.close = sync.OnceFunc(func() { close(s.closed) })
	return s
}

// Start serves on an address such as "127.0.0.1:0" until Close, and returns the
// URL for the client's BaseEndpoint. Port 0 means a free one.
func (s *Server) Start(listen string) (url string, err error) {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return "", fmt.Errorf("simulated EC2: %w", err)
	}
	go func() { _ = s.http.Serve(l) }() // ends with ErrServerClosed
	return "http://" + l.Addr().String(), nil
}

// Close stops serving at once. Calls in flight are dropped, without having
// done what they had not done yet.
func (s *Server) Close() {
	s.close()
	_ = s.http.Close()
}

// SetLatency sets how long an action takes from now on; AnyAction is for those
// that have no latency of their own.
func (s *Server) SetLatency(action string, l Latency) { s.behaviour.setLatency(action, l) }

// SetThrottle replaces the throttling of all actions; nil is none. The buckets
// start full.
func (s *Server) SetThrottle(buckets map[string]Bucket) { s.behaviour.setThrottle(buckets) }

// SetLag sets how old the answers of Describe actions are, at most MaxLag.
func (s *Server) SetLag(lag time.Duration) { s.behaviour.setLag(lag, lag) }

// SetLagBetween sets how old they are at least and at the most: each read is as old as
// chance has it, so that a later one may show an older state, as with EC2.
func (s *Server) SetLagBetween(least, most time.Duration) { s.behaviour.setLag(least, most) }

// ErrDropped ends a call that gets no answer.
var ErrDropped = errors.New("connection dropped")

// ServeHTTP serves one call in EC2's query protocol.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q, err := readQuery(w, r)
	call := s.log.begin(q)
	var a answer
	if err == nil {
		a, err = s.serve(q, call)
	}
	var refusal *Error
	errors.As(err, &refusal)
	s.log.end(call, refusal)
	if errors.Is(err, ErrDropped) {
		panic(http.ErrAbortHandler)
	}
	write(w, q.action, fmt.Sprintf("req-%d", call), a, refusal)
}

// serve does what q asks for, as fast and as well as the settings and the
// faults will have it.
func (s *Server) serve(q query, call int) (answer, error) {
	act, ok := actions[q.action]
	if !ok {
		return nil, refuse(CodeInvalidAction, "The action %s is not valid for this web service.", q.action)
	}
	if q.form.Get("DryRun") == "true" {
		return nil, refuse(CodeUnsupported, "the simulator knows no dry run")
	}
	if !s.behaviour.admits(q.action) {
		return nil, errThrottled
	}
	f := s.behaviour.decide(s.about(q))
	s.log.update(call, func(c *Call) { c.Fault = f.kind })
	if f.kind == Throttle {
		return nil, errThrottled
	}

	half := s.behaviour.takes(q.action) / 2
	switch inTime := s.sleep(half + f.before); {
	case !inTime, f.kind == DropBefore:
		return nil, ErrDropped
	case f.kind == Refuse:
		return nil, refuse(f.code, "injected fault: nothing was done")
	}
	a, err := s.do(act, q, call)
	switch inTime := s.sleep(half + f.after); {
	case !inTime, f.kind == DropAfter:
		return nil, ErrDropped
	case err == nil && f.kind == RefuseDone:
		return nil, refuse(f.code, "injected fault: it was done")
	}
	return a, err
}

func (s *Server) do(act action, q query, call int) (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, changed, err := act(s.model, q, s.behaviour.reads(call))
	if err == nil && changed.count() > 0 {
		s.log.update(call, func(c *Call) { c.Changed, c.Applied = changed, true })
	}
	return a, err
}

// about says what a call is about, for the faults to match.
func (s *Server) about(q query) subject {
	about := subject{action: q.action, eni: q.form.Get("NetworkInterfaceId")}
	s.mu.Lock()
	defer s.mu.Unlock()
	if eni, ok := s.model.interfaces[about.eni]; ok {
		about.subnet = eni.subnet.id
	}
	return about
}

// sleep waits whether or not the client does: EC2 finishes what it was asked
// for. It is false when the server was closed meanwhile.
func (s *Server) sleep(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.closed:
		return false
	}
}

// write sends the answer, or the refusal where there is one.
func write(w http.ResponseWriter, action, requestID string, a answer, refusal *Error) {
	status, body := http.StatusOK, any(a)
	root := xml.Name{Space: "http://ec2.amazonaws.com/doc/2016-11-15/", Local: action + "Response"}
	if refusal != nil {
		status, root = statusOf(refusal.Code), xml.Name{Local: "Response"}
		body = errorAnswer{refusal.Code, refusal.Message, requestID}
	} else {
		a.setRequestID(requestID)
	}
	var out bytes.Buffer
	out.WriteString(xml.Header)
	if err := xml.NewEncoder(&out).EncodeElement(body, xml.StartElement{Name: root}); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
	w.WriteHeader(status)
	_, _ = w.Write(out.Bytes())
}
