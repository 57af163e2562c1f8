package extender

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// transferTime is how long a request may take to come in, and an answer to go
// out. The largest in practice, filter for 15,000 nodes, are of 1 MB.
const transferTime = 10 * time.Second

// idleTime is how long a connection is kept without a request, a little longer
// than kube-scheduler keeps it (90 s), so that the client is the one to close:
// else a request can meet a connection that is just being closed.
const idleTime = 100 * time.Second

// Server serves the extender's verbs.
type Server struct {
	http     http.Server
	listener net.Listener
	plain    bool
	stopTime time.Duration
}

// New checks the options and listens, so that an address that is taken or may
// not be used is told at once. Nobody is answered before Run.
func New(options Options) (*Server, error) {
	s, err := newServer(options)
	if err != nil {
		return nil, fmt.Errorf("extender: %w", err)
	}
	return s, nil
}

func newServer(options Options) (*Server, error) {
	options, err := options.complete()
	if err != nil {
		return nil, err
	}
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", options.Address)
	if err != nil {
		return nil, err
	}
	config, err := secured(options.TLS, listener.Addr())
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return &Server{
		http: http.Server{
			Handler:           newHandler(options),
			TLSConfig:         config,
			ReadHeaderTimeout: transferTime,
			// Over HTTP/1 the end of ReadTimeout also ends the context of a
			// request that has come in and is being answered: a bind that waits.
			ReadTimeout:  options.BindTimeout + transferTime,
			WriteTimeout: options.BindTimeout + transferTime,
			IdleTimeout:  idleTime,
			ErrorLog:     options.ErrorLog,
		},
		listener: listener,
		plain:    config == nil,
		stopTime: options.BindTimeout + transferTime,
	}, nil
}

// Handler answers the verbs without a server of its own.
func Handler(options Options) (http.Handler, error) {
	options, err := options.complete()
	if err != nil {
		return nil, fmt.Errorf("extender: %w", err)
	}
	return newHandler(options), nil
}

// Addr is the address that the server listens on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Run serves until ctx ends. Then it takes no more requests, and returns nil
// once those in flight are answered. They get as long as a bind may take; what
// is not answered by then is cut off, and the error says so.
func (s *Server) Run(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- s.serve() }()
	select {
	case err := <-served:
		return fmt.Errorf("extender: serving %s: %w", s.Addr(), err)
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.stopTime)
	defer cancel()
	if err := s.http.Shutdown(stopping); err != nil {
		return fmt.Errorf("extender: requests cut off after %s: %w", s.stopTime, errors.Join(err, s.http.Close()))
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("extender: serving %s: %w", s.Addr(), err)
	}
	return nil
}

func (s *Server) serve() error {
	if s.plain {
		return s.http.Serve(s.listener)
	}
	return s.http.ServeTLS(s.listener, "", "")
}
