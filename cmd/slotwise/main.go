// Command slotwise schedules Windows pods on AWS by the addresses that nodes
// really have left: admission webhook, scheduler extender and allocator in one.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	ctrl "sigs.k8s.io/controller-runtime"
)

func main() {
	if err := root().ExecuteContext(ctrl.SetupSignalHandler()); err != nil {
		fmt.Fprintln(os.Stderr, "slotwise:", err)
		os.Exit(code(err))
	}
}

// code is the exit code of an error: 2 says that a command that looks has looked, and does
// not like what it saw.
func code(err error) int {
	if errors.Is(err, errDoesNotFit) || errors.Is(err, errFound) {
		return 2
	}
	return 1
}

func root() *cobra.Command {
	c := &cobra.Command{
		Use:   "slotwise",
		Short: "True IP capacity for Windows nodes on AWS",
		Long: `Slotwise schedules Windows pods on AWS by the addresses that a node really has left.

A Windows node has one network interface with a fixed number of slots; each
takes a secondary IP or a /28 prefix. Slotwise keeps one book of them per node,
lets kube-scheduler see what is truly left, and binds each pod together with
its address, so that no pod is bound that can never get one.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       version,
	}
	c.AddCommand(runCommand(), subnetsCommand(), nodesCommand(), uiCommand(), checkCommand())
	return c
}
