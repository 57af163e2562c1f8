package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"slotwise.dev/slotwise/test/ec2sim"
)

const help = `Serve a simulated EC2, which the unmodified AWS SDK and CLI talk to.

It knows AssignPrivateIpAddresses, UnassignPrivateIpAddresses,
DescribeNetworkInterfaces, DescribeInstances, DescribeInstanceTypes,
DescribeSubnets and GetSubnetCidrReservations, with EC2's rules and error codes.
Any credentials do, but there must be some.

The inventory is read from a YAML file:

  subnets:
  - id: subnet-a
    zone: eu-west-1a
    cidr: 10.0.0.0/24
    reservations:              # optional
    - cidr: 10.0.0.64/26
      type: prefix             # or explicit
  instances:
  - id: i-1
    type: t3.xlarge
    subnet: subnet-a
    address: 10.0.0.10         # optional, the primary address
  types:                       # optional, beside those it knows
  - {name: z9.large, interfaces: 3, addresses: 10, hypervisor: nitro}

What happened is told as JSON under /sim/: calls, counts, errors, changes (of
addresses, oldest first), interfaces, and check (the simulator's self-check).`

const examples = `  ec2sim --inventory inventory.yaml --latency 300ms --jitter 100ms --throttle &
  export AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any AWS_REGION=eu-west-1
  aws ec2 describe-network-interfaces --endpoint-url http://127.0.0.1:4566
  curl http://127.0.0.1:4566/sim/counts`

// patience is how long calls in flight have to finish at the end; longer than
// the 5 s for which net/http waits for a connection without a request.
const patience = 6 * time.Second

// config is what the flags say.
type config struct {
	listen          string
	inventory       string
	seed            uint64
	latency, jitter time.Duration
	lag             time.Duration
	throttle        bool
	burst           int
	perSecond       float64
	pageSize        int
	longestFree     bool
}

func command() *cobra.Command {
	var c config
	cmd := &cobra.Command{
		Use:           "ec2sim --inventory FILE",
		Short:         "Serve a simulated EC2 over HTTP",
		Long:          help,
		Example:       examples,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return c.serve(ctx, cmd.OutOrStdout())
		},
	}
	c.bind(cmd)
	return cmd
}

func (c *config) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&c.listen, "listen", "127.0.0.1:4566", "address to listen on; port 0 is a free one")
	f.StringVar(&c.inventory, "inventory", "", "YAML file of the subnets and instances (required)")
	f.Uint64Var(&c.seed, "seed", 1, "seed of the jitter")
	f.DurationVar(&c.latency, "latency", 0, "mean latency of every call")
	f.DurationVar(&c.jitter, "jitter", 0, "the latency varies by as much up and down")
	f.DurationVar(&c.lag, "lag", 0, "Describe calls answer with the state of so long ago, at most "+ec2sim.MaxLag.String())
	f.BoolVar(&c.throttle, "throttle", false, "throttle as EC2 does by default: mutating calls 50 burst and 5 a second, others 100 and 20")
	f.IntVar(&c.burst, "throttle-burst", 0, "throttle every action at this burst instead")
	f.Float64Var(&c.perSecond, "throttle-rate", 0, "calls a second that go with --throttle-burst")
	f.IntVar(&c.pageSize, "page-size", 0, "most items of one page of an answer; 0 is as many as the client asks for")
	f.BoolVar(&c.longestFree, "longest-free-first", false, "give out the address that has been free longest, not the lowest")
	_ = cmd.MarkFlagRequired("inventory") // fails only for a flag that is not there
	cmd.MarkFlagsRequiredTogether("throttle-burst", "throttle-rate")
	cmd.MarkFlagsMutuallyExclusive("throttle", "throttle-burst")
}

func (c config) options() ec2sim.Options {
	o := ec2sim.Options{
		Seed:     c.seed,
		Latency:  map[string]ec2sim.Latency{ec2sim.AnyAction: {Mean: c.latency, Jitter: c.jitter}},
		Lag:      c.lag,
		PageSize: c.pageSize,
	}
	if c.longestFree {
		o.Reuse = ec2sim.LongestFreeFirst
	}
	if c.throttle {
		o.Throttle = ec2sim.AWSThrottling()
	}
	if c.burst > 0 {
		o.Throttle = map[string]ec2sim.Bucket{ec2sim.AnyAction: {Burst: c.burst, PerSecond: c.perSecond}}
	}
	return o
}

// serve serves until ctx ends, and then lets the calls in flight finish.
func (c config) serve(ctx context.Context, out io.Writer) error {
	sim := ec2sim.New(c.options())
	defer sim.Close()
	inventory, err := readInventory(c.inventory)
	if err != nil {
		return err
	}
	if err := sim.Build(inventory); err != nil {
		return fmt.Errorf("%s: %w", c.inventory, err)
	}
	l, err := net.Listen("tcp", c.listen)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "EC2 with %d subnets and %d instances at http://%s\n", len(inventory.Subnets), len(inventory.Instances), l.Addr())

	server := &http.Server{Handler: handler(sim), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if err := server.Shutdown(ending); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	fmt.Fprintln(out, "dropped the calls that took longer to finish than", patience)
	return server.Close()
}

func readInventory(file string) (ec2sim.Inventory, error) {
	var i ec2sim.Inventory
	text, err := os.ReadFile(file)
	if err != nil {
		return i, err
	}
	if err := yaml.UnmarshalStrict(text, &i); err != nil {
		return i, fmt.Errorf("%s: %w", file, err)
	}
	return i, nil
}
