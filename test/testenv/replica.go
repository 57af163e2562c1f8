package testenv

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/test/controlplane"
)

// Replica is one process of Slotwise. Where there are several, each has a Pod
// object of its own name, which it labels while it leads.
type Replica struct {
	*controlplane.Process // the latest; nil before the first start

	Name string
	// Args are added to those that all replicas have. They count from the next
	// start on.
	Args []string

	env   *Env
	ports struct{ extender, webhook, metrics, health int }
	ready atomic.Bool // as its readiness probe sees it
}

// newReplicas chooses the names and ports of n replicas.
func (e *Env) newReplicas(n int) error {
	for i := range n {
		r := &Replica{Name: "slotwise", env: e}
		if n > 1 {
			r.Name += "-" + strconv.Itoa(i)
		}
		for _, port := range []*int{&r.ports.extender, &r.ports.webhook, &r.ports.metrics, &r.ports.health} {
			var err error
			if *port, err = controlplane.FreePort(); err != nil {
				return err
			}
		}
		e.Replicas = append(e.Replicas, r)
	}
	e.Slotwise = e.Replicas[0]
	return nil
}

// StartSlotwise starts the replicas that do not run, and returns once one of
// them leads and serves.
func (e *Env) StartSlotwise(ctx context.Context) error {
	for _, r := range e.Replicas {
		if r.Runs() {
			continue
		}
		if err := r.Start(ctx); err != nil {
			return err
		}
	}
	return e.Until(ctx, "Slotwise leads", func(ctx context.Context) error {
		_, err := e.Leader(ctx)
		return err
	})
}

// Leader is the replica that holds the lease and serves the extender.
func (e *Env) Leader(ctx context.Context) (*Replica, error) {
	for _, r := range e.Replicas {
		if r.leads(ctx) {
			return r, nil
		}
	}
	return nil, errors.New("no replica leads")
}

// Metrics is what the first replica shows to Prometheus.
func (e *Env) Metrics(ctx context.Context) (string, error) { return e.Slotwise.Metrics(ctx) }

// Start starts the program, as Slotwise's own ServiceAccount, and returns once
// it is ready; it need not lead.
func (r *Replica) Start(ctx context.Context) error {
	kubeconfig, err := r.env.ServiceAccountKubeconfig(ctx, Namespace, "slotwise")
	if err != nil {
		return err
	}
	args := append(slices.Clone(r.env.args),
		"--kubeconfig="+kubeconfig,
		"--namespace="+Namespace,
		"--aws-region="+Region,
		"--ec2-endpoint="+r.env.endpoint,
		"--extender-address="+loopback(r.ports.extender),
		"--webhook-port="+strconv.Itoa(r.ports.webhook),
		"--metrics-address="+loopback(r.ports.metrics),
		"--health-address="+loopback(r.ports.health),
		"--cert-names=localhost",
	)
	if len(r.env.Replicas) > 1 {
		if err := r.createPod(ctx); err != nil {
			return err
		}
		args = append(args, "--pod-name="+r.Name)
	}
	r.Process, err = r.env.Run(ctx, controlplane.Command{
		Name:  r.Name,
		Path:  r.env.binary,
		Args:  append(args, r.Args...),
		Env:   awsCredentials,
		Ready: r.probe,
	})
	if err == nil {
		go r.keepReady(r.Process)
	}
	return err
}

// Runs says that the process has been started and has not ended. One that is
// frozen runs.
func (r *Replica) Runs() bool {
	if r.Process == nil {
		return false
	}
	select {
	case <-r.Done():
		return false
	default:
		return true
	}
}

// Metrics is what the replica shows to Prometheus.
func (r *Replica) Metrics(ctx context.Context) (string, error) {
	return fetch(ctx, "http://"+loopback(r.ports.metrics)+"/metrics")
}

func (r *Replica) leads(ctx context.Context) bool {
	text, err := r.Metrics(ctx)
	return err == nil && strings.Contains(text, "\nslotwise_leader 1\n")
}

func (r *Replica) probe(ctx context.Context) error {
	return get(ctx, "http://"+loopback(r.ports.health)+"/readyz")
}

// The readiness probe of manifests/base/deployment.yaml, with what it leaves to
// Kubernetes' defaults.
const (
	probePeriod   = 5 * time.Second
	probeTimeout  = time.Second
	probeFailures = 3
)

// keepReady plays the kubelet: it probes a process that has become ready until
// it ends.
func (r *Replica) keepReady(p *controlplane.Process) {
	r.ready.Store(true)
	defer r.ready.Store(false)
	tick := time.NewTicker(probePeriod)
	defer tick.Stop()
	for failures := 0; ; {
		select {
		case <-p.Done():
			return
		case <-tick.C:
		}
		ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
		if err := r.probe(ctx); err != nil {
			failures++
		} else {
			failures = 0
		}
		cancel()
		r.ready.Store(failures < probeFailures)
	}
}

// createPod makes the replica's Pod object, as the Deployment would. It is on a
// node that does not exist, so no kubelet touches it.
func (r *Replica) createPod(ctx context.Context) error {
	var d appsv1.Deployment
	if err := r.env.Kube.Get(ctx, client.ObjectKey{Namespace: Namespace, Name: "slotwise"}, &d); err != nil {
		return err
	}
	p := &corev1.Pod{ObjectMeta: d.Spec.Template.ObjectMeta, Spec: d.Spec.Template.Spec}
	p.Namespace, p.Name = Namespace, r.Name
	p.Spec.NodeName, p.Spec.NodeSelector = "control-plane", nil
	if err := client.IgnoreAlreadyExists(r.env.Kube.Create(ctx, p)); err != nil {
		return fmt.Errorf("create the pod of %s: %w", r.Name, err)
	}
	return nil
}

// AwaitLeading waits until a replica leads, as it does once all others have ended.
func (e *Env) AwaitLeading(ctx context.Context, r *Replica) error {
	return e.Until(ctx, r.Name+" leads", func(ctx context.Context) error {
		if !r.leads(ctx) {
			return errors.New("it does not")
		}
		return nil
	})
}
