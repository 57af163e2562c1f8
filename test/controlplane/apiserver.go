package controlplane

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

//go:embed auditpolicy.yaml
var auditPolicy []byte

// startTimeout is how long each process may take to become ready. It is generous:
// tests of several packages may start a cluster at once on a small machine.
const startTimeout = time.Minute

// APIServer is the cluster's kube-apiserver. It can be taken away and brought
// back, at the same address and with the same data.
type APIServer struct {
	env     *envtest.Environment
	pidFile string
}

// startAPIServer starts etcd and kube-apiserver.
func (c *Cluster) startAPIServer(ctx context.Context, options Options) error {
	env, err := c.environment(options)
	if err != nil {
		return err
	}
	c.APIServer = &APIServer{env: env, pidFile: c.pidFile("kube-apiserver")}
	if c.Admin, err = env.Start(); err != nil {
		return fmt.Errorf("start etcd and kube-apiserver: %w", err)
	}
	c.Admin.QPS = -1 // no limit on the client's side
	return c.APIServer.awaitReady(ctx)
}

// environment describes etcd and kube-apiserver to envtest.
func (c *Cluster) environment(options Options) (*envtest.Environment, error) {
	etcd, err := c.wrap("etcd")
	if err != nil {
		return nil, err
	}
	apiserver, err := c.wrap("kube-apiserver")
	if err != nil {
		return nil, err
	}
	etcdPort, err := FreePort()
	if err != nil {
		return nil, err
	}
	apiserverPort, err := FreePort()
	if err != nil {
		return nil, err
	}

	env := &envtest.Environment{ControlPlaneStartTimeout: startTimeout, ControlPlaneStopTimeout: startTimeout}
	env.WebhookInstallOptions.LocalServingCertDir = filepath.Join(c.Dir, "webhook")
	plane := &env.ControlPlane
	plane.KubectlPath = filepath.Join(c.tools, "kubectl")
	plane.Etcd = &envtest.Etcd{
		Path:    etcd,
		DataDir: c.etcdDir(),
		URL:     &url.URL{Scheme: "http", Host: loopback(etcdPort)},
	}
	server := plane.GetAPIServer()
	server.Path = apiserver
	server.CertDir = filepath.Join(c.Dir, "apiserver")
	server.Address, server.Port = "127.0.0.1", strconv.Itoa(apiserverPort)
	for _, dir := range []string{plane.Etcd.DataDir, server.CertDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	if plane.Etcd.Err, err = openLog(c.logFile("etcd")); err != nil {
		return nil, err
	}
	if server.Err, err = openLog(c.logFile("kube-apiserver")); err != nil {
		return nil, err
	}
	return env, c.configure(server, options)
}

// configure sets the flags of kube-apiserver that differ from envtest's.
func (c *Cluster) configure(server *envtest.APIServer, options Options) error {
	flags := server.Configure()
	// envtest switches the plugin ServiceAccount off.
	flags.Disable("disable-admission-plugins")
	// Bursts are to be limited by what is under test, not by the server.
	flags.Set("enable-priority-and-fairness", "false")
	flags.Set("max-requests-inflight", "3000")
	flags.Set("max-mutating-requests-inflight", "1500")
	// Watches would hold up the end of the server for a minute.
	flags.Set("shutdown-send-retry-after", "true")
	if !options.Audit {
		return nil
	}
	policy := filepath.Join(c.Dir, "audit-policy.yaml")
	flags.Set("audit-policy-file", policy)
	flags.Set("audit-log-path", c.AuditLog())
	return os.WriteFile(policy, auditPolicy, 0o600)
}

// wrap writes a script that runs a tool and leaves its process id, which envtest
// keeps to itself.
func (c *Cluster) wrap(name string) (string, error) {
	path, err := tool(c.tools, name)
	if err != nil {
		return "", err
	}
	script := fmt.Sprintf("#!/bin/sh\necho $$ >'%s'\nexec '%s' \"$@\"\n", c.pidFile(name), path)
	wrapper := filepath.Join(c.Dir, "run", name)
	return wrapper, os.WriteFile(wrapper, []byte(script), 0o700)
}

// Stop ends kube-apiserver in order (SIGTERM), and waits for it. It is no error if
// it has ended already.
func (a *APIServer) Stop() error {
	_ = a.Thaw() // fails only if it has ended
	if err := a.env.ControlPlane.APIServer.Stop(); err != nil {
		return fmt.Errorf("stop kube-apiserver: %w", err)
	}
	return removePIDFile(a.pidFile)
}

// Kill ends kube-apiserver at once (SIGKILL), and waits until it has gone.
func (a *APIServer) Kill(ctx context.Context) error {
	if err := a.signal(syscall.SIGKILL); err != nil {
		return err
	}
	err := poll(ctx, "kube-apiserver is gone", func(context.Context) error {
		if err := a.signal(0); !errors.Is(err, syscall.ESRCH) {
			return errors.Join(errors.New("it is still there"), err)
		}
		return nil
	})
	return errors.Join(err, removePIDFile(a.pidFile))
}

// Start brings kube-apiserver back after [APIServer.Stop] or [APIServer.Kill],
// and waits until it is ready.
func (a *APIServer) Start(ctx context.Context) error {
	if err := a.env.ControlPlane.APIServer.Start(); err != nil {
		return fmt.Errorf("start kube-apiserver: %w", err)
	}
	return a.awaitReady(ctx)
}

// Freeze stops kube-apiserver where it stands (SIGSTOP): connections stay open,
// and nothing is answered.
func (a *APIServer) Freeze() error { return a.signal(syscall.SIGSTOP) }

// Thaw lets a frozen kube-apiserver go on (SIGCONT).
func (a *APIServer) Thaw() error { return a.signal(syscall.SIGCONT) }

func (a *APIServer) signal(signal syscall.Signal) error {
	text, err := os.ReadFile(a.pidFile)
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return fmt.Errorf("%s: %w", a.pidFile, err)
	}
	return syscall.Kill(pid, signal)
}

func (a *APIServer) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	client, err := kubernetes.NewForConfig(a.env.Config)
	if err != nil {
		return err
	}
	return poll(ctx, "kube-apiserver is ready", func(ctx context.Context) error {
		return client.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
}
