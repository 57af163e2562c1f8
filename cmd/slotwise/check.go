package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/discovery"

	"slotwise.dev/slotwise/allocator/survey/checkup"
	"slotwise.dev/slotwise/allocator/survey/output"
)

// errFound makes the command fail, with a code of its own.
var errFound = errors.New("something has to be done: see the lines that say bad")

// checks is what the flags of check say.
type checks struct {
	sources
	before bool
	output string
}

func checkCommand() *cobra.Command {
	var c checks
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check what keeps Windows pods from their addresses, with the fix for each",
		Long: `Check what keeps Windows pods from their addresses: a line for each thing, ok or
bad, and below what is bad its fix. Nothing is changed.

It looks at the Kubernetes version, the ConfigMap, other allocators, Windows nodes,
max-pods, subnets, pods without an address and disruption budgets; where Slotwise
is installed also at its replicas, leader, webhook with CA, the certificate of
kube-scheduler, and API priority. With --pre, for a cluster without Slotwise, it
looks at what you may create instead.

It reads with your own kubeconfig and AWS credentials. What you may not read is
"unknown", and no failure; a "note" is advice. The exit code is 2 where
something is bad, and 1 where it could not look.`,
		Example: `  # before installing
  slotwise check --pre

  # after
  slotwise check

  # on EKS, with the ConfigMap of the overlay eks
  slotwise check --config-map slotwise-system/slotwise`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context(), cmd.OutOrStdout()) },
	}
	f := cmd.Flags()
	c.register(f)
	f.BoolVar(&c.before, "pre", false, "Slotwise is not installed yet: check whether it could be")
	f.StringVar(&c.namespace, "namespace", "slotwise-system", "namespace of Slotwise")
	f.StringVarP(&c.output, "output", "o", "", "json or yaml; empty: text")
	return cmd
}

func (c *checks) run(ctx context.Context, out io.Writer) error {
	o, err := c.open(ctx)
	if err != nil {
		return err
	}
	api, err := discovery.NewDiscoveryClientForConfig(o.rest)
	if err != nil {
		return err
	}
	v, err := api.ServerVersion()
	if err != nil {
		return fmt.Errorf("ask the API server for its version: %w; check that the cluster of this context answers: kubectl get nodes", err)
	}
	cluster, err := o.survey(ctx)
	if err != nil {
		return err
	}
	in := checkup.Inputs{Kube: o.kube, Version: v.GitVersion, Cluster: cluster, ConfigMap: o.configMap, Namespace: c.namespace, Now: time.Now()}
	look := checkup.After
	if c.before {
		look = checkup.Before
	}
	findings := look(ctx, in)
	if err := checkup.Print(out, findings, c.output, output.Color(out)); err != nil {
		return err
	}
	if checkup.AnyBad(findings) {
		return errFound
	}
	return nil
}
