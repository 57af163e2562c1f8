package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"

	"slotwise.dev/slotwise/allocator/survey"
	"slotwise.dev/slotwise/allocator/survey/draw"
	"slotwise.dev/slotwise/allocator/survey/page"
)

// ui is what the flags of the command say.
type ui struct {
	sources
	port  int
	every time.Duration
	svg   string
}

func uiCommand() *cobra.Command {
	var u ui
	cmd := &cobra.Command{
		Use:   "ui",
		Short: "Show the slots of all Windows nodes live in your browser",
		Long: `Show every Windows node live in your browser: what is in each slot of its
network interface, what AWS's formula promises and what is truly there; below,
each /28 of the subnets with who holds it, and the last minutes as curves.

The page is served on 127.0.0.1 only, to browsers on this machine, until Ctrl-C.
Nothing is changed, nothing is installed, and no port of the cluster is used. It
works with and without Slotwise, also while AWS's controller is at work.

Kubernetes is watched with your own kubeconfig, so pods show at once. EC2 is asked
with your own AWS credentials every --ec2-interval: three calls for each subnet,
and one more for each further 1,000 network interfaces in it; never more than 2
calls a second of an action, of the 20 that an account has.

An address cools for 30 s after its pod has ended. Only ends that the page has
seen are shown as closing rings.`,
		Example: `  # look, then open the address that it prints
  slotwise ui

  # another cluster, and always the same port
  slotwise ui --context staging --aws-region us-west-2 --port 8080

  # a picture of this moment for a README or a ticket, without a browser
  slotwise ui --svg slots.svg`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if u.svg != "" {
				return u.draw(cmd.Context(), cmd.OutOrStdout())
			}
			return u.serve(cmd.Context(), cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	u.register(f)
	f.IntVar(&u.port, "port", 0, "port on 127.0.0.1 to serve the page at; 0: a free one")
	f.DurationVar(&u.every, "ec2-interval", 5*time.Second, "how often EC2 is asked; a second or more")
	f.StringVar(&u.svg, "svg", "", "write the picture to this file, - for standard output, and end")
	return cmd
}

// draw writes the picture.
func (u *ui) draw(ctx context.Context, out io.Writer) error {
	o, err := u.open(ctx)
	if err != nil {
		return err
	}
	c, err := o.survey(ctx)
	if err != nil {
		return err
	}
	picture := draw.Picture(c, time.Now())
	if u.svg == "-" {
		_, err := io.WriteString(out, picture)
		return err
	}
	return os.WriteFile(u.svg, []byte(picture), 0o644) //nolint:gosec // it is made to be shown to others
}

// serve serves the page until ctx ends.
func (u *ui) serve(ctx context.Context, out io.Writer) error {
	if u.every < time.Second {
		return fmt.Errorf("--ec2-interval %s: want a second or more, for the sake of EC2's request limits", u.every)
	}
	klog.SetLogger(logr.Discard()) // what goes wrong is on the page
	o, err := u.open(ctx)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(o.rest)
	if err != nil {
		return err
	}
	ec2 := survey.NewEC2(o.ec2)
	c, err := survey.Read(ctx, o.kube, ec2, o.configMap) // says at once what is not allowed
	if err != nil {
		return err
	}
	hub := page.NewHub()
	hub.Tell(c, time.Now())
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(u.port)))
	if err != nil {
		return fmt.Errorf("%w: choose another --port, or leave it out for a free one", err)
	}
	fmt.Fprintf(out, "%s on %d Windows nodes. Open http://%s/ in a browser on this machine; Ctrl-C ends it.\n", draw.Headline(c.Totals), c.Totals.Nodes+c.Totals.Odd, l.Addr())

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	served := make(chan error, 1)
	go func() {
		served <- page.Serve(ctx, l, hub)
		cancel()
	}()
	err = survey.Watch(ctx, survey.Options{Kube: client, Reader: o.kube, EC2: ec2, ConfigMap: o.configMap, Every: u.every},
		func(c *survey.Cluster) { hub.Tell(c, time.Now()) })
	cancel()
	if ended := <-served; ended != nil {
		return ended
	}
	return err
}
