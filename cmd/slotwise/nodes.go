package main

import (
	"github.com/spf13/cobra"

	"slotwise.dev/slotwise/allocator/survey/output"
	"slotwise.dev/slotwise/allocator/survey/table"
)

func nodesCommand() *cobra.Command {
	var s sources
	var format string
	cmd := &cobra.Command{
		Use:   "nodes",
		Short: "Show what AWS's formula promises on each Windows node, and what is there",
		Long: `Show each Windows node: what is in the slots of its network interface, its pods,
what AWS's formula promises, and what is truly there. Nothing is changed, and
Slotwise need not be installed: it reads nodes, pods and a ConfigMap with your
own kubeconfig, and instances, network interfaces and subnets with your own AWS
credentials (ec2:Describe*, ec2:GetSubnetCidrReservations).

A network interface has a fixed number of slots. Each is empty, or holds a
secondary IP (1 pod) or a prefix (16 pods). AWS's controller promises the same
number always: as many pods as slots in secondary IP mode, 16 times as many in
prefix mode. What is there depends on what is in the slots, and on the subnet.

  SLOTS       slots that pods can use: those of the type, without the node's own
  IPS         slots with a secondary IP
  PREFIXES    slots with a /28 prefix
  PODS        pods that run or start there, without those on the host's network
  COOLING     addresses that rest for 30 s after their pod, as far as Slotwise
              is installed and says so; else "-", and they count as there
  MAX-PODS    the most pods that the kubelet takes, of whatever kind
  PROMISED    AWS's formula, for the mode that the ConfigMap says
  THERE       addresses in use, free ones, and those that empty slots can still
              take from the subnet (its room is divided among its nodes)
  GAP         PROMISED - THERE; below zero the formula hides what is there
  WOULD HANG  of the gap, what the scheduler would fill: max-pods may be less

A node that cannot be looked at is a row with "?", and its reason below.`,
		Example: `  # the current context, the region of your AWS profile
  slotwise nodes

  # another cluster, and its region
  slotwise nodes --context staging --aws-region us-west-2

  # the nodes on which pods would hang, for a script
  slotwise nodes -o json | jq -r '.nodes[] | select(.hang > 0) | .name'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := s.open(cmd.Context())
			if err != nil {
				return err
			}
			c, err := o.survey(cmd.Context())
			if err != nil {
				return err
			}
			return table.Print(cmd.OutOrStdout(), c, format, output.Color(cmd.OutOrStdout()))
		},
	}
	s.register(cmd.Flags())
	cmd.Flags().StringVarP(&format, "output", "o", "", "json or yaml; empty: a table")
	return cmd
}
