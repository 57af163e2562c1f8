package walk

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/version"

	"slotwise.dev/slotwise/manifests"
	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/controlplane"
	"slotwise.dev/slotwise/test/testenv"
)

// startScheduler starts the cluster's kube-scheduler with the configuration that is
// shipped and the files that the guide has an administrator copy.
func (c *cluster) startScheduler(t *testing.T, sh shell) *controlplane.Process {
	t.Helper()
	check.Must(t, c.copyCertificate(t.Context(), t, sh))
	config, err := c.schedulerConfiguration("self-managed", sh.files)
	check.Must(t, err)
	p, err := c.StartScheduler(t.Context(), controlplane.Scheduler{Config: config, Probes: c.ownProbes(t)})
	check.Must(t, err)
	return p
}

// runSecondScheduler does what controllers and kubelet would do for the Deployment of
// the overlay eks: kube-scheduler runs as its ServiceAccount, with the Secret mounted,
// and is available once it answers both probes.
func (c *cluster) runSecondScheduler(t *testing.T) func(context.Context) error {
	return func(ctx context.Context) error {
		d, err := c.deployment(ctx, eksScheduler)
		if err != nil {
			return err
		}
		sh := shell{kubeconfig: c.AdminKubeconfig, files: t.TempDir()}
		if err := c.copyCertificate(ctx, t, sh); err != nil {
			return err
		}
		s := controlplane.Scheduler{Name: eksScheduler, LeaderElection: true, Probes: probes(d.Spec.Template.Spec.Containers[0])}
		if s.Config, err = c.schedulerConfiguration("eks", sh.files); err != nil {
			return err
		}
		if s.Kubeconfig, err = c.ServiceAccountKubeconfig(ctx, testenv.Namespace, eksScheduler); err != nil {
			return err
		}
		p, err := c.StartScheduler(ctx, s)
		if err != nil {
			return err
		}
		c.programs = append(c.programs, p)
		return c.available(ctx, d)
	}
}

func probes(c corev1.Container) []string {
	return []string{c.LivenessProbe.HTTPGet.Path, c.ReadinessProbe.HTTPGet.Path}
}

// copyCertificate brings the scheduler's certificate into the folder of the shell.
func (c *cluster) copyCertificate(ctx context.Context, t *testing.T, sh shell) error {
	t.Helper()
	return until(ctx, "the scheduler's certificate is there", func(ctx context.Context) error {
		return check.ErrorOf(sh.run(ctx, t, block(t, "scheduler")+"\ntest -s tls.crt\ntest -s tls.key"))
	})
}

// schedulerConfiguration is that of an overlay; only where it finds the certificate
// and the extender is this machine's.
func (c *cluster) schedulerConfiguration(overlay, dir string) ([]byte, error) {
	config, err := manifests.File("overlays/" + overlay + "/kube-scheduler-configuration.yaml")
	config = bytes.ReplaceAll(config, []byte("/etc/kubernetes/slotwise"), []byte(dir))
	extender := fmt.Appendf(nil, "https://localhost:%d", c.ports.extender)
	return bytes.ReplaceAll(config, []byte("https://slotwise-extender.slotwise-system.svc:443"), extender), err
}

// ownProbes are those of the cluster's own kube-scheduler, which is ready in its own
// way: before 1.31 it tells only that it lives.
func (c *cluster) ownProbes(t *testing.T) []string {
	if c.minor(t) < 31 {
		return []string{"/healthz"}
	}
	return nil
}

// minor is 37 on Kubernetes 1.37.
func (c *cluster) minor(t *testing.T) uint {
	t.Helper()
	info, err := c.Client.Discovery().ServerVersion()
	check.Must(t, err)
	v, err := version.ParseGeneric(info.GitVersion)
	check.Must(t, err)
	return v.Minor()
}

// skipBefore131 skips on a Kubernetes for which the guide does not promise the overlay
// eks, after a look at whether it must: a second scheduler would never be ready there.
func (c *cluster) skipBefore131(t *testing.T) {
	t.Helper()
	if c.minor(t) >= 31 {
		return
	}
	_, err := c.StartScheduler(t.Context(), controlplane.Scheduler{Name: "second"})
	if err == nil {
		t.Fatal(guide + " says that kube-scheduler has /readyz since 1.31; this one has it, too")
	}
	t.Skip("the overlay eks wants 1.31:", err)
}
