package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/config"
)

// nowhere is the address of what is not to be served.
const nowhere = "0"

// flags are all that the flags of run say.
type flags struct {
	mode          mode
	configMap     string
	schedulerName string

	region, endpoint string
	changes, reads   cloud.Bucket

	extenderAddress string
	webhookPort     int
	metricsAddress  string
	healthAddress   string
	bindTimeout     time.Duration

	certDir   string
	certNames []string
	namespace string
	podName   string

	leaseDuration, renewDeadline, retryPeriod time.Duration
}

func runCommand() *cobra.Command {
	var c flags
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the webhook, the extender and the allocator",
		Long: `Run the admission webhook, the scheduler extender and the allocator.

Of several replicas one leads: it serves the extender and changes network
interfaces. All serve the webhook. The connection to Kubernetes is the pod's own,
or that of --kubeconfig; the credentials for AWS are the SDK's default chain.`,
		Example: `  # in a cluster, as manifests/base runs it
  slotwise run

  # on a machine, against a simulated EC2
  slotwise run --kubeconfig admin.conf --namespace slotwise-system \
    --ec2-endpoint http://127.0.0.1:4566 --aws-region us-west-2`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.complete(); err != nil {
				return err
			}
			return run(cmd.Context(), c)
		},
	}
	c.register(cmd.Flags())
	return cmd
}

func (c *flags) register(f *pflag.FlagSet) {
	bucket := cloud.DefaultBuckets()
	c.changes, c.reads = bucket[cloud.Assign], bucket[cloud.DescribeInterfaces]

	c.mode.register(f)
	c.registerSources(f)
	f.StringVar(&c.schedulerName, "scheduler-name", "", "scheduler that Windows pods get which ask for none (for clusters whose own scheduler cannot call the extender); empty: they keep theirs")

	f.IntVar(&c.changes.Burst, "ec2-change-burst", c.changes.Burst, "calls that may be made at once of each EC2 action that changes something")
	f.Float64Var(&c.changes.PerSecond, "ec2-change-rate", c.changes.PerSecond, "calls per second of each EC2 action that changes something")
	f.IntVar(&c.reads.Burst, "ec2-read-burst", c.reads.Burst, "calls that may be made at once of each EC2 action that reads")
	f.Float64Var(&c.reads.PerSecond, "ec2-read-rate", c.reads.PerSecond, "calls per second of each EC2 action that reads")

	f.StringVar(&c.extenderAddress, "extender-address", ":9444", "where the scheduler extender listens (HTTPS with client certificates)")
	f.IntVar(&c.webhookPort, "webhook-port", 9443, "where the admission webhook listens (HTTPS)")
	f.StringVar(&c.metricsAddress, "metrics-address", ":8443", "where Prometheus metrics are served; beyond loopback over HTTPS, and only to those whom the API server lets get /metrics; "+nowhere+": nowhere")
	f.StringVar(&c.healthAddress, "health-address", ":8081", "where /healthz and /readyz are served (HTTP: they tell nothing); "+nowhere+": nowhere")
	f.DurationVar(&c.bindTimeout, "bind-timeout", 25*time.Second, "the longest that a bind waits for EC2; must be less than the extender's httpTimeout in the scheduler's configuration")

	f.StringVar(&c.certDir, "cert-dir", "", "folder with tls.crt, tls.key and ca.crt, as cert-manager mounts them; kube-scheduler must then show a certificate of that CA for the DNS name slotwise-scheduler, and caBundle of the webhook is yours to fill (cert-manager.io/inject-ca-from); empty: certificates are made, kept in Secrets and rotated")
	f.StringSliceVar(&c.certNames, "cert-names", nil, "further DNS names for the certificates that are made, beside those of the Services: where the scheduler or the API server reaches Slotwise by another name")
	f.StringVar(&c.namespace, "namespace", os.Getenv("POD_NAMESPACE"), "namespace of the lease, the Secrets and this pod; default: $POD_NAMESPACE")
	f.StringVar(&c.podName, "pod-name", os.Getenv("POD_NAME"), "name of this pod, which gets the label of the leader; default: $POD_NAME; empty: no pod is labelled")

	f.DurationVar(&c.leaseDuration, "lease-duration", 15*time.Second, "how long a leader that is silent keeps its lease")
	f.DurationVar(&c.renewDeadline, "lease-renew-deadline", 10*time.Second, "how long a leader that cannot renew its lease goes on before it stops; less than --lease-duration")
	f.DurationVar(&c.retryPeriod, "lease-retry-period", 2*time.Second, "how often the lease is renewed or tried for")
}

// registerSources adds the flags that say where Kubernetes, the ConfigMap and
// EC2 are.
func (c *flags) registerSources(f *pflag.FlagSet) {
	f.AddGoFlag(flag.Lookup("kubeconfig")) // controller-runtime's own
	c.registerLocations(f)
}

// registerLocations adds the flags that say where the ConfigMap and EC2 are.
func (c *flags) registerLocations(f *pflag.FlagSet) {
	f.StringVar(&c.configMap, "config-map", config.ManagedConfigMap.String(), "namespace/name of the ConfigMap with enable-windows-ipam, enable-windows-prefix-delegation and the warm pool targets")
	f.StringVar(&c.region, "aws-region", "", "AWS region; empty: from the environment or the instance")
	f.StringVar(&c.endpoint, "ec2-endpoint", "", "URL of the EC2 API; empty: that of the region")
}

// complete checks what the flags say together.
func (c *flags) complete() error {
	if err := c.mode.check(); err != nil {
		return err
	}
	if _, err := c.configMapName(); err != nil {
		return err
	}
	if c.namespace == "" {
		return errors.New("--namespace is needed where $POD_NAMESPACE is not set")
	}
	for _, b := range []cloud.Bucket{c.changes, c.reads} {
		if b.Burst < 1 || b.PerSecond <= 0 {
			return errors.New("the --ec2-...-burst and --ec2-...-rate flags must be more than zero, or no call could ever be made")
		}
	}
	if c.bindTimeout <= 0 {
		return fmt.Errorf("--bind-timeout %s must be more than zero", c.bindTimeout)
	}
	if c.renewDeadline >= c.leaseDuration {
		return fmt.Errorf("--lease-renew-deadline %s must be less than --lease-duration %s, or two replicas could lead at once", c.renewDeadline, c.leaseDuration)
	}
	return nil
}

func (c *flags) configMapName() (types.NamespacedName, error) {
	namespace, name, ok := strings.Cut(c.configMap, "/")
	if !ok || namespace == "" || name == "" || strings.Contains(name, "/") {
		return types.NamespacedName{}, fmt.Errorf("--config-map %q: want namespace/name, such as kube-system/amazon-vpc-cni", c.configMap)
	}
	n := types.NamespacedName{Namespace: namespace, Name: name}
	if aws := config.ManagedConfigMap; n != aws && n.Namespace == aws.Namespace {
		return types.NamespacedName{}, fmt.Errorf("--config-map %q: want %s, or one in another namespace", c.configMap, aws)
	}
	return n, nil
}

// buckets are the token buckets of all EC2 actions.
func (c *flags) buckets() map[cloud.Action]cloud.Bucket {
	all := cloud.DefaultBuckets()
	for action := range all {
		all[action] = c.reads
	}
	all[cloud.Assign], all[cloud.Unassign] = c.changes, c.changes
	return all
}
