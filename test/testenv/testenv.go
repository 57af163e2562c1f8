// Package testenv is the whole of Slotwise on one machine, for tests, the demo and
// benchmarks: a real control plane (test/controlplane), the simulated EC2
// (test/ec2sim), Slotwise installed from manifests/ and running as a process
// under its own ServiceAccount, and a real kube-scheduler that calls it.
//
// What differs from a cluster is only where things are found: there is no
// Service network, so the API server and the scheduler reach Slotwise at
// loopback ports instead of Service names.
package testenv

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/test/controlplane"
	"slotwise.dev/slotwise/test/ec2sim"
	"slotwise.dev/slotwise/test/witness"
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

// ConfigMap is what users configure, and what AWS's managed controller reads on EKS.
var ConfigMap = types.NamespacedName{Namespace: "kube-system", Name: "amazon-vpc-cni"}

// Options are what may differ between environments.
type Options struct {
	controlplane.Options
	EC2 ec2sim.Options
	// Overlay is what is installed; without it SelfManaged.
	Overlay Overlay
	// Replicas is how many processes of slotwise there are; 0 is one. Several are
	// reached as by their Services, see service.go.
	Replicas int
	// Settings are in the ConfigMap from the beginning, beside enable-windows-ipam.
	Settings map[string]string
	// Before, where set, prepares the cluster before anything of Slotwise is installed.
	Before func(context.Context, *Env) error
	// Args are added to those of slotwise.
	Args []string
	// Progress, where set, is told what is being done.
	Progress func(what string)
}

// Env is the running environment.
type Env struct {
	*controlplane.Cluster
	EC2       *ec2sim.Server
	Kube      client.Client // may do everything
	Slotwise  *Replica      // the first, and mostly the only one
	Replicas  []*Replica
	Scheduler *controlplane.Process

	overlay  Overlay
	args     []string
	binary   string
	endpoint string                          // of EC2
	witness  *witness.Witness                // nil before Watch
	prefixes bool                            // the mode that the ConfigMap asks for
	at       struct{ extender, webhook int } // the ports at which Slotwise is reached

	services     []*service
	stopWatching context.CancelFunc // of the leader's label
}

// Start brings everything up and returns once pods can be scheduled. Slotwise
// is on, and in secondary IP mode unless Settings say otherwise.
func Start(ctx context.Context, o Options) (_ *Env, err error) {
	if o.Overlay == (Overlay{}) {
		o.Overlay = SelfManaged
	}
	e := &Env{overlay: o.Overlay, args: o.Args, EC2: ec2sim.New(o.EC2), stopWatching: func() {}}
	say := o.Progress
	if say == nil {
		say = func(string) {}
	}
	defer func() {
		if err != nil {
			err = e.Fail(err)
		}
	}()
	say("starting etcd, kube-apiserver and kubelets")
	if e.Cluster, err = controlplane.Start(ctx, o.Options); err != nil {
		return nil, err
	}
	if e.endpoint, err = e.EC2.Start("127.0.0.1:0"); err != nil {
		return nil, err
	}
	if err := e.EC2.AddSubnet(Subnet, Zone, netip.MustParsePrefix("10.0.0.0/20")); err != nil {
		return nil, err
	}
	if e.Kube, err = client.New(e.Admin, client.Options{}); err != nil {
		return nil, err
	}
	say("building slotwise")
	if e.binary, err = build(ctx, e.Dir); err != nil {
		return nil, err
	}
	if o.Before != nil {
		if err := o.Before(ctx, e); err != nil {
			return nil, err
		}
	}
	say("installing manifests/ and starting slotwise")
	if err := e.newReplicas(max(1, o.Replicas)); err != nil {
		return nil, err
	}
	if err := e.startServices(); err != nil {
		return nil, err
	}
	if err := e.install(ctx); err != nil {
		return nil, err
	}
	data := map[string]string{"enable-windows-ipam": "true"}
	maps.Copy(data, o.Settings)
	if err := e.Configure(ctx, data); err != nil {
		return nil, err
	}
	if err := e.StartSlotwise(ctx); err != nil {
		return nil, err
	}
	say("starting kube-scheduler")
	err = e.StartScheduler(ctx)
	return e, err
}

// Fail ends everything, and keeps the logs and names them in the error.
func (e *Env) Fail(err error) error {
	if e.Cluster == nil {
		return errors.Join(err, e.Stop())
	}
	e.Keep()
	return errors.Join(fmt.Errorf("%w (logs in %s)", err, e.LogDir()), e.Stop())
}

// Stop ends everything.
func (e *Env) Stop() error {
	var errs []error
	e.stopWatching()
	for _, s := range e.services {
		errs = append(errs, s.close())
	}
	if e.Cluster != nil {
		errs = append(errs, e.Cluster.Stop())
	}
	e.EC2.Close()
	return errors.Join(errs...)
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

func loopback(port int) string { return "localhost:" + strconv.Itoa(port) }

// timeout bounds what the helpers wait for. On a machine that does nothing else
// the longest of it, a cooldown, an EC2 call and the scheduler's back-off, is
// about 45 s.
const timeout = 2 * time.Minute

// awsCredentials are what the simulated EC2 takes.
var awsCredentials = []string{"AWS_ACCESS_KEY_ID=AKIDSIMULATED", "AWS_SECRET_ACCESS_KEY=simulated", "AWS_EC2_METADATA_DISABLED=true"}

// RunSlotwise runs one of the program's other commands, as an administrator,
// and returns what it prints.
func (e *Env) RunSlotwise(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, e.binary, append(args, e.where()...)...)
	cmd.Env = append(os.Environ(), awsCredentials...)
	return output(cmd)
}

// where are the flags by which the program's commands find the cluster and its EC2.
func (e *Env) where() []string {
	return []string{"--kubeconfig=" + e.AdminKubeconfig, "--aws-region=" + Region, "--ec2-endpoint=" + e.endpoint}
}

// Shell is what a person types to run one of the program's commands as RunSlotwise does.
func (e *Env) Shell(command string) string {
	return strings.Join(slices.Concat(awsCredentials, []string{e.binary, command}, e.where()), " ")
}

// RunKubectl runs kubectl, as an administrator, and returns what it prints.
func (e *Env) RunKubectl(ctx context.Context, args ...string) (string, error) {
	kubectl, err := e.Kubectl()
	if err != nil {
		return "", err
	}
	return output(exec.CommandContext(ctx, kubectl, append(args, "--kubeconfig="+e.AdminKubeconfig)...))
}

// output runs a command, and returns what it prints.
func output(cmd *exec.Cmd) (string, error) {
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return string(out), nil
}
