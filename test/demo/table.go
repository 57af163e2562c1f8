package main

import (
	"context"
	"fmt"
	"os"
	"text/tabwriter"

	"slotwise.dev/slotwise/test/testenv"
)

// table shows each node: what EC2 has on its interface, what AWS's formula
// would advertise, what is truly left, and what Slotwise advertises.
func (s *story) table(ctx context.Context) error {
	t, err := s.Tally(ctx, namespace)
	if err != nil {
		return err
	}
	fmt.Println()
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "      node\tslots\tsecondary IPs\tprefixes\tpods\tAWS's formula\ttruly remaining\tadvertised\t")
	for i, name := range s.names {
		c, err := s.settled(ctx, name, t.ByNode[name])
		if err != nil {
			return err
		}
		eni, _ := s.EC2.Interface(s.enis[i])
		aws := slots
		if len(eni.Prefixes) > 0 {
			aws = formula
		}
		fmt.Fprintf(w, "      %s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", name, slots,
			len(eni.Addresses), len(eni.Prefixes), t.ByNode[name], aws, c.Remaining, c.Advertised)
	}
	return w.Flush()
}

// settled reads what a node advertises once it agrees with its pods: it is
// written at most once a second.
func (s *story) settled(ctx context.Context, name string, pods int) (c testenv.Capacity, err error) {
	err = s.Until(ctx, name+" advertises pods + remaining", func(ctx context.Context) error {
		if c, err = s.Capacity(ctx, name); err != nil {
			return err
		}
		if c.Advertised != pods+c.Remaining {
			return fmt.Errorf("%d advertised, %d pods, %d remaining", c.Advertised, pods, c.Remaining)
		}
		return nil
	})
	return c, err
}

// progress shows how far something is: on one line of a terminal, else on a
// line of its own.
func (s *story) progress(what string) {
	if terminal() {
		fmt.Printf("\r\033[K      %s %s", s.clock(), what)
	} else {
		fmt.Printf("      %s %s\n", s.clock(), what)
	}
}

func (s *story) progressDone() {
	if terminal() {
		fmt.Println()
	}
}

func terminal() bool {
	info, err := os.Stdout.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
