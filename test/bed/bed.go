// Package bed is the whole of Slotwise on one machine, for tests, the demo and
// benchmarks: a real control plane (test/controlplane), the simulated EC2
// (test/ec2sim), Slotwise installed from manifests/ and running as a process
// under its own ServiceAccount, and a real kube-scheduler that calls it.
//
// What differs from a cluster is only where things are found: there is no
// Service network, so the API server and the scheduler reach Slotwise at
// loopback ports instead of Service names.
package bed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/test/controlplane"
	"slotwise.dev/slotwise/test/ec2sim"
)

// Region and Zone are where the simulated EC2 says it is.
const (
	Region = "us-west-2"
	Zone   = "us-west-2a"
)

// Subnet is the one that Start makes: a /20, room for 254 prefixes.
const Subnet = "subnet-0a"

// Namespace is where Slotwise runs.
const Namespace = "slotwise-system"

// ConfigMap is what users configure.
var ConfigMap = types.NamespacedName{Namespace: "kube-system", Name: "amazon-vpc-cni"}

// Options are what may differ between beds.
type Options struct {
	controlplane.Options
	EC2 ec2sim.Options
	// Args are added to those of slotwise.
	Args []string
	// Progress, where set, is told what is being done.
	Progress func(what string)
}

// Bed is the running system.
type Bed struct {
	*controlplane.Cluster
	EC2       *ec2sim.Server
	Kube      client.Client // may do everything
	Slotwise  *controlplane.Process
	Scheduler *controlplane.Process

	args     []string
	binary   string
	endpoint string // of EC2
	ports    struct{ extender, webhook, metrics, health int }
}

// Start brings everything up and returns once pods can be scheduled. Slotwise
// is on, in secondary IP mode.
func Start(ctx context.Context, o Options) (_ *Bed, err error) {
	b := &Bed{args: o.Args, EC2: ec2sim.New(o.EC2)}
	say := o.Progress
	if say == nil {
		say = func(string) {}
	}
	defer func() {
		if err != nil {
			err = b.Fail(err)
		}
	}()
	say("starting etcd, kube-apiserver and KWOK")
	if b.Cluster, err = controlplane.Start(ctx, o.Options); err != nil {
		return nil, err
	}
	if b.endpoint, err = b.EC2.Start("127.0.0.1:0"); err != nil {
		return nil, err
	}
	if err := b.EC2.AddSubnet(Subnet, Zone, netip.MustParsePrefix("10.0.0.0/20")); err != nil {
		return nil, err
	}
	if b.Kube, err = client.New(b.Admin, client.Options{}); err != nil {
		return nil, err
	}
	say("building slotwise")
	if b.binary, err = build(ctx, b.Dir); err != nil {
		return nil, err
	}
	say("installing manifests/ and starting slotwise")
	if err := b.install(ctx); err != nil {
		return nil, err
	}
	if err := b.Configure(ctx, map[string]string{"enable-windows-ipam": "true"}); err != nil {
		return nil, err
	}
	if err := b.StartSlotwise(ctx); err != nil {
		return nil, err
	}
	say("starting kube-scheduler")
	return b, b.StartScheduler(ctx)
}

// Fail ends everything, and keeps the logs and names them in the error.
func (b *Bed) Fail(err error) error {
	if b.Cluster == nil {
		return errors.Join(err, b.Stop())
	}
	b.Keep()
	return errors.Join(fmt.Errorf("%w (logs in %s)", err, b.LogDir()), b.Stop())
}

// Stop ends everything.
func (b *Bed) Stop() error {
	var err error
	if b.Cluster != nil {
		err = b.Cluster.Stop()
	}
	b.EC2.Close()
	return err
}

// build compiles the program as it stands, unless SLOTWISE_BINARY names one.
func build(ctx context.Context, dir string) (string, error) {
	if binary := os.Getenv("SLOTWISE_BINARY"); binary != "" {
		return filepath.Abs(binary)
	}
	binary := filepath.Join(dir, "slotwise")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, "slotwise.dev/slotwise/cmd/slotwise")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build slotwise: %w\n%s", err, out)
	}
	return binary, nil
}

// StartSlotwise starts the program as its own ServiceAccount and returns once
// it leads and serves.
func (b *Bed) StartSlotwise(ctx context.Context) error {
	kubeconfig, err := b.ServiceAccountKubeconfig(ctx, Namespace, "slotwise")
	if err != nil {
		return err
	}
	args := append([]string{
		"run",
		"--kubeconfig=" + kubeconfig,
		"--namespace=" + Namespace,
		"--aws-region=" + Region,
		"--ec2-endpoint=" + b.endpoint,
		"--extender-address=" + loopback(b.ports.extender),
		"--webhook-port=" + strconv.Itoa(b.ports.webhook),
		"--metrics-address=" + loopback(b.ports.metrics),
		"--health-address=" + loopback(b.ports.health),
		"--cert-names=localhost",
	}, b.args...)
	b.Slotwise, err = b.Run(ctx, controlplane.Command{
		Name: "slotwise",
		Path: b.binary,
		Args: args,
		Env:  []string{"AWS_ACCESS_KEY_ID=AKIDSIMULATED", "AWS_SECRET_ACCESS_KEY=simulated", "AWS_EC2_METADATA_DISABLED=true"},
		Ready: func(ctx context.Context) error {
			return errors.Join(get(ctx, "http://"+loopback(b.ports.health)+"/readyz"), b.leads(ctx))
		},
	})
	return err
}

// leads says whether some replica holds the lease and serves the extender.
func (b *Bed) leads(ctx context.Context) error {
	text, err := fetch(ctx, "http://"+loopback(b.ports.metrics)+"/metrics")
	if err != nil {
		return err
	}
	if !strings.Contains(text, "\nslotwise_leader 1\n") {
		return errors.New("slotwise does not lead yet")
	}
	return nil
}

// Metrics is what Slotwise shows to Prometheus.
func (b *Bed) Metrics(ctx context.Context) (string, error) {
	return fetch(ctx, "http://"+loopback(b.ports.metrics)+"/metrics")
}

func loopback(port int) string { return "localhost:" + strconv.Itoa(port) }

// choosePorts takes ports that are free now. They are below those that systems
// give to outgoing connections, so they stay free across restarts.
func (b *Bed) choosePorts() error {
	next := 10000 + os.Getpid()%5000
	for _, p := range []*int{&b.ports.extender, &b.ports.webhook, &b.ports.metrics, &b.ports.health} {
		for {
			next++
			l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(next))
			if err != nil {
				if next > 20000 {
					return fmt.Errorf("no free port: %w", err)
				}
				continue
			}
			if err := l.Close(); err != nil {
				return err
			}
			*p = next
			break
		}
	}
	return nil
}

// timeout bounds what the helpers wait for. On a machine that does nothing else
// the longest of it, a cooldown, an EC2 call and the scheduler's back-off, is
// about 45 s.
const timeout = 2 * time.Minute
