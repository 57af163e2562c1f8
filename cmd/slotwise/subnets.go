package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

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
	var s sources
	cmd := &cobra.Command{
		Use:   "subnets [SUBNET-ID...]",
		Short: "Show whether the subnets of Windows nodes have room for prefixes",
		Long: `Show the subnets of all Windows nodes, before a migration to prefix delegation:
a picture of each with its free aligned /28 blocks and CIDR reservations, who else
holds addresses that spoil blocks, and a verdict whether the prefixes that the
nodes will ask for fit. Subnets that are named are shown too, as a new one that has
no nodes yet. Nothing is changed.

Where a free block is worth keeping for prefixes, the command that reserves it is
printed: EC2 then puts nothing else there.

It reads pods, nodes and the ConfigMap from Kubernetes, and instances, interfaces
and subnets from EC2. A node or subnet that cannot be looked at is named, with the
reason, below the others. The exit code is 2 if somewhere they do not fit, and 1
where nothing could be looked at.`,
		Example: `  slotwise subnets --kubeconfig ~/.kube/config --aws-region us-west-2

  # a new subnet, before nodes are in it
  slotwise subnets subnet-0123456789abcdef0`,
		RunE: func(cmd *cobra.Command, ids []string) error {
			return subnets(cmd.Context(), cmd.OutOrStdout(), &s, ids)
		},
	}
	s.register(cmd.Flags())
	return cmd
}

func subnets(ctx context.Context, out io.Writer, s *sources, ids []string) error {
	o, err := s.open(ctx)
	if err != nil {
		return err
	}
	report, err := preflight.Look(ctx, cloud.New(o.ec2, cloud.Options{}), o.kube, o.configMap, ids...)
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
	for _, odd := range report.Odd {
		fmt.Fprintf(out, "not looked at: %s: %v\n", odd.Name, odd.Why)
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
	fmt.Fprintf(out, "  verdict          %s\n", r.Forecast.Verdict())
	showSpoiled(out, r.Spoiled)
	showReservation(out, r)
	fmt.Fprintln(out)
}

// mostSpoiled is how many spoiled blocks are listed: those that are won back most easily.
const mostSpoiled = 10

// showSpoiled says who else holds addresses in blocks that could be prefixes.
func showSpoiled(out io.Writer, spoiled []preflight.Spoiled) {
	if len(spoiled) == 0 {
		return
	}
	fmt.Fprintf(out, "  spoiled          %d blocks have addresses of others in them; the fewest first:\n", len(spoiled))
	for _, s := range spoiled[:min(len(spoiled), mostSpoiled)] {
		for _, h := range s.Holders {
			fmt.Fprintf(out, "    %-18s %-15s %s\n", s.Block, h.Blocks[0].Addr(), h)
		}
	}
}

// showReservation prints the command that keeps the largest free block for prefixes.
func showReservation(out io.Writer, r *preflight.Subnet) {
	block, found := r.Map.LargestFree()
	if !found || r.Hidden > 0 || r.Unread != nil {
		return
	}
	fmt.Fprintf(out, "  to keep          %s, the largest free block, for prefixes:\n", block)
	fmt.Fprintf(out, "    aws ec2 create-subnet-cidr-reservation --subnet-id %s --reservation-type prefix --cidr %s\n", r.ID, block)
}
