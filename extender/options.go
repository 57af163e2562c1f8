package extender

import (
	"crypto/tls"
	"errors"
	"log"
	"time"

	"slotwise.dev/slotwise/allocator/capacity"
)

// Defaults of Options.
const (
	// DefaultBindTimeout is kube-scheduler's default httpTimeout of 5 s, less
	// what the way there and back may take.
	DefaultBindTimeout = 4500 * time.Millisecond
	// DefaultMaxBody holds 15,000 names of 253 bytes, the longest there are,
	// beside a pod of 1.5 MiB, the largest that etcd takes.
	DefaultMaxBody = 8 << 20
	// DefaultSample is that of kube-scheduler (Kubernetes 1.37:
	// pkg/scheduler/schedule_one.go, minFeasibleNodesToFind).
	DefaultSample = 100
)

// Options is what a Server needs.
type Options struct {
	// Address to listen on, host:port.
	Address string
	// TLS is for HTTPS with client certificates: it has to bring certificates
	// (GetCertificate) and to require and verify the clients' (ClientAuth,
	// ClientCAs); where both change while running, GetConfigForClient may bring
	// the whole. Only a server on the loopback interface can do without.
	TLS *tls.Config

	// Rooms, Binder and Evictions are the allocator. Required, all three.
	Rooms     Rooms
	Binder    Binder
	Evictions Evictions

	// Serving reports whether this replica may answer: whether it is the leader
	// and has its ledgers rebuilt. Required.
	Serving func() bool

	// BindTimeout bounds a bind; it must be less than the httpTimeout in the
	// scheduler's configuration. DefaultBindTimeout if zero.
	BindTimeout time.Duration
	// MaxBody bounds the body of a request, in bytes. DefaultMaxBody if zero.
	MaxBody int64

	// Sample is how many nodes kube-scheduler shows at the least, where there are more that
	// fit by its plugins: fewer are all that there are. DefaultSample if zero.
	Sample int

	// Observe, if set, is told of every request: one of the Verb and one of the
	// Outcome constants, and the time from its header to its answer.
	Observe func(verb, outcome string, took time.Duration)
	// Refused, if set, is told how many nodes a filter request had refused, once
	// for each reason.
	Refused func(reason capacity.Reason, nodes int)
	// ErrorLog is told of connections that fail, such as by a client certificate
	// that is not accepted. The log package's standard logger if nil.
	ErrorLog *log.Logger
}

// complete checks the options and fills in defaults.
func (o Options) complete() (Options, error) {
	if o.Rooms == nil || o.Binder == nil || o.Evictions == nil || o.Serving == nil {
		return o, errors.New("Rooms, Binder, Evictions and Serving are all required")
	}
	if o.BindTimeout < 0 || o.MaxBody < 0 || o.Sample < 0 {
		return o, errors.New("BindTimeout, MaxBody and Sample must not be negative")
	}
	if o.BindTimeout == 0 {
		o.BindTimeout = DefaultBindTimeout
	}
	if o.MaxBody == 0 {
		o.MaxBody = DefaultMaxBody
	}
	if o.Sample == 0 {
		o.Sample = DefaultSample
	}
	if o.Observe == nil {
		o.Observe = func(string, string, time.Duration) {}
	}
	if o.Refused == nil {
		o.Refused = func(capacity.Reason, int) {}
	}
	return o, nil
}
