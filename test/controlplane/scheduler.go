package controlplane

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"sigs.k8s.io/yaml"
)

// schedulerUser is the user to whom the API server's built-in roles grant what a
// kube-scheduler needs.
const schedulerUser = "system:kube-scheduler"

// Scheduler says how a kube-scheduler runs.
type Scheduler struct {
	// Name names the process and its log. Default: kube-scheduler.
	Name string
	// Path is the program. Default: that of the tools.
	Path string
	// Config is a KubeSchedulerConfiguration, as YAML. Without it the scheduler
	// has its defaults. What depends on the machine is filled in: the kubeconfig,
	// and where it says nothing, no client rate limit.
	Config []byte
	// LeaderElection leaves the leader election of Config as it is. Without it there
	// is none, so that a scheduler that comes back need not wait for its own lease.
	LeaderElection bool
	// Kubeconfig is whom the scheduler acts as. Default: system:kube-scheduler.
	Kubeconfig string
	// Probes are the paths that answer 200 once it is ready. Default: /readyz, which
	// kube-scheduler has since 1.31.
	Probes []string
}

// StartScheduler starts a kube-scheduler and returns once it is ready, its caches
// filled. After the process has been stopped or killed the same may be started
// again.
func (c *Cluster) StartScheduler(ctx context.Context, s Scheduler) (_ *Process, err error) {
	if s.Name == "" {
		s.Name = "kube-scheduler"
	}
	if s.Kubeconfig == "" {
		if s.Kubeconfig, err = c.Kubeconfig(schedulerUser); err != nil {
			return nil, err
		}
	}
	config, err := c.schedulerConfig(s)
	if err != nil {
		return nil, err
	}
	if s.Path == "" {
		if s.Path, err = tool(c.tools, "kube-scheduler"); err != nil {
			return nil, err
		}
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	return c.Run(ctx, Command{
		Name: s.Name,
		Path: s.Path,
		Args: []string{
			"--config=" + config,
			"--authentication-kubeconfig=" + s.Kubeconfig,
			"--authorization-kubeconfig=" + s.Kubeconfig,
			"--bind-address=127.0.0.1",
			"--secure-port=" + strconv.Itoa(port),
		},
		Ready: func(ctx context.Context) error { return s.healthy(ctx, port) },
	})
}

func (s Scheduler) healthy(ctx context.Context, port int) error {
	probes := s.Probes
	if probes == nil {
		probes = []string{"/readyz"}
	}
	for _, path := range probes {
		if err := healthy(ctx, selfSigned, "https://"+loopback(port)+path); err != nil {
			return err
		}
	}
	return nil
}

// selfSigned is a client for a server that makes its own certificate at each
// start, which nobody can verify.
var selfSigned = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}

// schedulerConfig writes the configuration as this machine needs it, and returns
// its path.
func (c *Cluster) schedulerConfig(s Scheduler) (string, error) {
	config := map[string]any{
		"apiVersion": "kubescheduler.config.k8s.io/v1",
		"kind":       "KubeSchedulerConfiguration",
	}
	if err := yaml.Unmarshal(s.Config, &config); err != nil {
		return "", fmt.Errorf("scheduler configuration: %w", err)
	}
	client, ok := config["clientConnection"].(map[string]any)
	if !ok {
		client = map[string]any{}
	}
	if _, ok := client["qps"]; !ok {
		client["qps"] = -1
	}
	client["kubeconfig"] = s.Kubeconfig
	config["clientConnection"] = client
	if !s.LeaderElection {
		config["leaderElection"] = map[string]any{"leaderElect": false}
	}

	text, err := yaml.Marshal(config)
	if err != nil {
		return "", fmt.Errorf("scheduler configuration: %w", err)
	}
	path := filepath.Join(c.Dir, s.Name+".yaml")
	return path, os.WriteFile(path, text, 0o600)
}
