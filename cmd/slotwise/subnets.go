package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/preflight"
	"slotwise.dev/slotwise/allocator/subnet"
)

// What makes the command fail, for scripts.
var (
	errDoesNotFit = errors.New("not all nodes can be moved to prefixes")
	errNoSubnet   = errors.New("no subnet of a Windows node could be looked at")
)

func subnetsCommand() *cobra.Command {
	var c flags
	cmd := &cobra.Command{
		Use:   "subnets",
		Short: "Show whether the subnets of Windows nodes have room for prefixes",
		Long: `Show the subnets of all Windows nodes, before a migration to prefix delegation:
a picture of each with its free aligned /28 blocks and CIDR reservations, and a
verdict whether the prefixes that the nodes will ask for fit. Nothing is changed.

It reads pods, nodes and the ConfigMap from Kubernetes, and instances, interfaces
and subnets from EC2. A node or subnet that cannot be looked at is named, with the
reason, below the others. It fails if somewhere they do not fit.`,
		Example: `  slotwise subnets --kubeconfig ~/.kube/config --aws-region us-west-2`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return subnets(cmd.Context(), cmd.OutOrStdout(), c)
		},
	}
	c.registerSources(cmd.Flags())
	return cmd
}

func subnets(ctx context.Context, out io.Writer, c flags) error {
	configMap, err := c.configMapName()
	if err != nil {
		return err
	}
	rc, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("connect to Kubernetes: %w", err)
	}
	kube, err := client.New(rc, client.Options{})
	if err != nil {
		return err
	}
	ec2, err := cloud.Dial(ctx, c.region, c.endpoint)
	if err != nil {
		return err
	}
	report, err := preflight.Look(ctx, cloud.New(ec2, cloud.Options{}), kube, configMap)
	if err != nil {
		return err
	}
	fits := true
	for _, r := range report.Subnets {
		show(out, r)
		fits = fits && r.Forecast.Fits()
	}
	if len(report.Subnets) > 0 {
		fmt.Fprintf(out, "%s\n", subnet.Legend)
	}
	for _, o := range report.Odd {
		fmt.Fprintf(out, "not looked at: %s: %v\n", o.Name, o.Why)
	}
	switch {
	case !fits:
		return errDoesNotFit
	case len(report.Subnets) == 0 && len(report.Odd) > 0:
		return errNoSubnet
	}
	return nil
}

// show prints one subnet.
func show(out io.Writer, r *preflight.Subnet) {
	fmt.Fprintf(out, "%s  %s  %s\n\n", r.ID, r.CIDR, r.AvailabilityZone)
	for line := range strings.Lines(r.Map.Picture()) {
		fmt.Fprintf(out, "  %s", line)
	}
	fmt.Fprintln(out)
	for _, x := range r.Reservations {
		fmt.Fprintf(out, "  reserved         %s (%s)\n", x.CIDR, x.Kind)
	}
	fmt.Fprintf(out, "  free             %d whole /28 blocks, %d addresses for secondary IPs\n", r.Forecast.Room, r.Map.Room(ledger.SecondaryIP))
	if r.Unread != nil {
		fmt.Fprintf(out, "  reserved         not known: %v\n", r.Unread)
	}
	if r.Hidden > 0 {
		fmt.Fprintf(out, "  hidden           %d addresses are in use that EC2 does not show here, as in a subnet that is shared with other accounts: blocks that look free may not be\n", r.Hidden)
	}
	fmt.Fprintf(out, "  Windows nodes    %d, with %d prefixes\n", r.Nodes, r.Prefixes)
	fmt.Fprintf(out, "  prefixes needed  %d for the pods that run now, %d if every node fills all its slots\n", r.Forecast.Now, r.Forecast.Most)
	fmt.Fprintf(out, "  verdict          %s\n\n", r.Forecast.Verdict())
}
