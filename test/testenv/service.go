package testenv

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/tools/cache"

	"slotwise.dev/slotwise/allocator/leader"
	"slotwise.dev/slotwise/test/controlplane"
)

// service plays a Service of the cluster with its kube-proxy: each connection
// goes to one of the replicas that are ready and that the Service selects. As
// there, a connection that stands stays where it is when the selection changes.
type service struct {
	listener net.Listener
	backends func() []int // ports of loopback

	mu    sync.Mutex
	conns map[net.Conn]bool
}

// startServices makes the Services of webhook and extender, where there are
// several replicas; a single one is reached directly.
func (e *Env) startServices() error {
	e.at.extender, e.at.webhook = e.Slotwise.ports.extender, e.Slotwise.ports.webhook
	if len(e.Replicas) == 1 {
		return nil
	}
	leaders := e.watchLeaders()
	webhook := func() (ports []int) {
		for _, r := range e.readyReplicas() {
			ports = append(ports, r.ports.webhook)
		}
		return ports
	}
	extender := func() (ports []int) {
		for _, r := range e.readyReplicas() {
			if leaders.has(r) {
				ports = append(ports, r.ports.extender)
			}
		}
		return ports
	}
	return errors.Join(e.serve(&e.at.webhook, webhook), e.serve(&e.at.extender, extender))
}

func (e *Env) readyReplicas() (ready []*Replica) {
	for _, r := range e.Replicas {
		if r.ready.Load() {
			ready = append(ready, r)
		}
	}
	return ready
}

// serve starts a service at a free port.
func (e *Env) serve(port *int, backends func() []int) (err error) {
	if *port, err = controlplane.FreePort(); err != nil {
		return err
	}
	s := &service{backends: backends, conns: map[net.Conn]bool{}}
	if s.listener, err = net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(*port)); err != nil {
		return err
	}
	e.services = append(e.services, s)
	go s.run()
	return nil
}

func (s *service) run() {
	for {
		client, err := s.listener.Accept()
		if err != nil {
			return // closed
		}
		go s.forward(client)
	}
}

// forward joins a client with a replica, until one of them has ended. Where
// there is none to go to, the connection is closed at once.
func (s *service) forward(client net.Conn) {
	defer s.track(client)()
	ports := s.backends()
	if len(ports) == 0 {
		return
	}
	replica, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(ports[rand.IntN(len(ports))]))
	if err != nil {
		return
	}
	defer s.track(replica)()
	over := make(chan struct{}, 2)
	for _, pair := range [][2]net.Conn{{client, replica}, {replica, client}} {
		go func() {
			_, _ = io.Copy(pair[0], pair[1]) // either side may end it as it likes
			over <- struct{}{}
		}()
	}
	<-over
}

// track has close end a connection, and returns what ends and forgets it.
func (s *service) track(c net.Conn) (end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c] = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, c)
		_ = c.Close()
	}
}

func (s *service) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
	return s.listener.Close()
}

// leaders knows which replicas' pods have the label of the leader. While the API
// server is away it keeps to what it knew last, as kube-proxy does.
type leaders struct {
	mu    sync.Mutex
	names map[string]bool
}

func (l *leaders) has(r *Replica) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.names[r.Name]
}

func (l *leaders) see(p *corev1.Pod) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.names[p.Name] = p.Labels[leader.LabelLeader] == "true"
}

// watchLeaders follows the labels of the replicas' pods until the environment stops.
func (e *Env) watchLeaders() *leaders {
	l := &leaders{names: map[string]bool{}}
	lw := cache.NewListWatchFromClient(e.Client.CoreV1().RESTClient(), "pods", Namespace, fields.Everything())
	_, c := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: lw,
		ObjectType:    &corev1.Pod{},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    func(p any) { l.see(p.(*corev1.Pod)) },
			UpdateFunc: func(_, p any) { l.see(p.(*corev1.Pod)) },
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	e.stopWatching = cancel
	go c.RunWithContext(ctx)
	return l
}
