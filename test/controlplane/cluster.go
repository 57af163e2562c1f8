package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Options are what may differ between clusters. The zero value is a good one.
type Options struct {
	// Dir is the folder of everything the cluster writes, empty or not there. It
	// is kept when the cluster stops, but for etcd's data. Without it a temporary
	// one is used, and removed.
	Dir string
	// Tools is the folder of the binaries. Without it test/tools/bin is looked
	// for, from the working directory upwards.
	Tools string
	// Audit turns the API server's audit log on, see [Cluster.AuditLog].
	Audit bool
	// Kubelets say how slow the kubelets of Windows nodes are.
	Kubelets Kubelets
}

// Cluster is a running control plane.
type Cluster struct {
	// Dir is the folder of everything the cluster writes.
	Dir string
	// Admin is a client configuration that may do everything, without rate limit.
	Admin *rest.Config
	// Client is a client of Admin.
	Client kubernetes.Interface
	// AdminKubeconfig is a kubeconfig file that may do everything.
	AdminKubeconfig string
	// APIServer can be stopped, frozen, killed and started again.
	APIServer *APIServer
	// Kubelets are those of all Windows nodes, as one process. After they have been
	// stopped or killed, [Cluster.StartKubelets] starts them again.
	Kubelets *Process

	tools       string
	keep        bool
	guard       *guard
	kubelets    Kubelets
	kubeletsURL string

	users sync.Mutex // held while a user is added

	mu        sync.Mutex
	processes []*Process
}

// Start starts etcd, kube-apiserver and the kubelets, and returns once they are ready.
// The scheduler is started by [Cluster.StartScheduler]. ctx limits the start
// only; the cluster runs until [Cluster.Stop]. If the start fails, what runs is
// stopped, and the error names the folder with the logs.
func Start(ctx context.Context, options Options) (*Cluster, error) {
	c := &Cluster{Dir: options.Dir, tools: options.Tools, keep: options.Dir != "", kubelets: options.Kubelets}
	if err := c.prepare(); err != nil {
		return nil, err
	}
	if err := c.start(ctx, options); err != nil {
		c.Keep()
		return nil, errors.Join(fmt.Errorf("%w (logs in %s)", err, c.LogDir()), c.Stop())
	}
	return c, nil
}

// prepare finds the tools and makes the folders.
func (c *Cluster) prepare() (err error) {
	if c.tools == "" {
		if c.tools, err = findTools(); err != nil {
			return err
		}
	}
	if c.Dir == "" {
		if c.Dir, err = os.MkdirTemp("", "controlplane-"); err != nil {
			return err
		}
	}
	if c.Dir, err = filepath.Abs(c.Dir); err != nil {
		return err
	}
	for _, dir := range []string{"run", "logs", "kubeconfig"} {
		if err := os.MkdirAll(filepath.Join(c.Dir, dir), 0o700); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) start(ctx context.Context, options Options) (err error) {
	if c.guard, err = startGuard(filepath.Join(c.Dir, "run"), c.etcdDir()); err != nil {
		return err
	}
	if err := c.startAPIServer(ctx, options); err != nil {
		return err
	}
	if c.Client, err = kubernetes.NewForConfig(c.Admin); err != nil {
		return err
	}
	if c.AdminKubeconfig, err = c.Kubeconfig("admin", "system:masters"); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return c.startKWOK(ctx) })
	group.Go(func() error { return c.startKubelets(ctx) })
	for _, namespace := range []string{"default", "kube-system"} {
		group.Go(func() error { return c.createDefaultServiceAccount(ctx, namespace) })
	}
	return group.Wait()
}

// Stop ends everything, the last started first. A temporary folder is removed,
// unless it is to be kept.
func (c *Cluster) Stop() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, p := range slices.Backward(c.processes) {
		errs = append(errs, p.Stop())
	}
	c.processes = nil
	if c.APIServer != nil {
		errs = append(errs, c.APIServer.Stop(), c.APIServer.env.Stop(), removePIDFile(c.pidFile("etcd")))
	}
	if c.guard != nil {
		errs = append(errs, c.guard.stop())
	}
	if !c.keep {
		errs = append(errs, os.RemoveAll(c.Dir))
	}
	return errors.Join(errs...)
}

// Keep lets the folder of the cluster outlive it, for a look at the logs.
func (c *Cluster) Keep() { c.keep = true }

// LogDir is the folder of the logs, one file for each process.
func (c *Cluster) LogDir() string { return filepath.Join(c.Dir, "logs") }

// AuditLog is the API server's audit log, one JSON object a line, where
// [Options.Audit] asked for it.
func (c *Cluster) AuditLog() string { return filepath.Join(c.LogDir(), "audit.log") }

func (c *Cluster) logFile(name string) string { return filepath.Join(c.LogDir(), name+".log") }

func (c *Cluster) etcdDir() string { return filepath.Join(c.Dir, "etcd") }

func (c *Cluster) pidFile(name string) string { return filepath.Join(c.Dir, "run", name+".pid") }

// adopt remembers a process, so that Stop ends it.
func (c *Cluster) adopt(p *Process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.processes = append(c.processes, p)
}

// poll asks check until it returns nil or ctx ends; what names the thing awaited.
func poll(ctx context.Context, what string, check func(context.Context) error) error {
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w, last: %w", what, ctx.Err(), err)
		case <-time.After(pollInterval):
		}
	}
}
