package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/test/ec2sim"
	"slotwise.dev/slotwise/test/testenv"
	"slotwise.dev/slotwise/test/witness"
)

// The figures of the story. A t3.xlarge has 15 addresses per interface, of
// which one is the node's own.
const (
	instanceType = "t3.xlarge"
	nodes        = 3
	slots        = 14
	oldPods      = 10                     // on each node, before the switch
	formula      = slots * 16             // what AWS's formula advertises in prefix mode
	truth        = (slots - oldPods) * 16 // what a node can really still take
	asked        = nodes * formula        // pods that users then ask for
	maxPods      = 250                    // of each node: more than the formula, so that addresses are what is short
	fit          = nodes * truth          // of which so many can run
	namespace    = "shop"
)

// story is the demo while it is told.
type story struct {
	*testenv.Env
	began   time.Time
	witness *witness.Witness
	names   []string
	enis    []string
}

func run(ctx context.Context, keep bool) (err error) {
	s := &story{began: time.Now()}
	s.Env, err = testenv.Start(ctx, testenv.Options{
		EC2:      ec2sim.Options{Latency: map[string]ec2sim.Latency{ec2sim.AnyAction: {Mean: 300 * time.Millisecond, Jitter: 100 * time.Millisecond}}},
		Progress: s.say,
		Before:   s.withAWS,
	})
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = s.Fail(err)
		} else {
			err = s.Stop()
		}
	}()
	for _, chapter := range []func(context.Context) error{
		s.takeOver, s.switched, s.flood, s.makeRoom, s.end,
	} {
		if err := chapter(ctx); err != nil {
			return err
		}
	}
	if keep {
		return s.keep(ctx)
	}
	return nil
}

// keep leaves the cluster up, and says how to go on with it.
func (s *story) keep(ctx context.Context) error {
	kubectl, err := s.Kubectl()
	if err != nil {
		return err
	}
	fmt.Printf("\nThe cluster stays up until Ctrl-C:\n\n  export KUBECONFIG=%s\n  %s get nodeslots -o wide\n  %s\n", s.AdminKubeconfig, kubectl, s.Shell("ui"))
	<-ctx.Done()
	return nil
}

// takeOver begins the second act, with the nodes and the pods of the first.
func (s *story) takeOver(ctx context.Context) error {
	s.act("Act two: Slotwise, on the same nodes, beside the same old pods")
	s.witness = s.Watch(ctx, namespace)
	for i, name := range s.names {
		eni, _ := s.EC2.Interface(s.enis[i])
		s.witness.Node(name, eni)
	}
	s.say(fmt.Sprintf("Slotwise finds %d pods that run, and takes over what AWS's controller has left", nodes*oldPods))
	return s.table(ctx)
}

func (s *story) switched(ctx context.Context) error {
	s.say("a look at the subnet first: will the nodes' prefixes fit?")
	picture, err := s.RunSlotwise(ctx, "subnets")
	if err != nil {
		return err
	}
	fmt.Printf("\n%s", indent(picture))
	s.say("prefix delegation is switched on, with all pods running")
	if err := s.PrefixMode(ctx, true); err != nil {
		return err
	}
	err = s.Until(ctx, "every node advertises the truth", func(ctx context.Context) error {
		for i, name := range s.names {
			c, err := s.Capacity(ctx, name)
			if err != nil {
				return err
			}
			eni, _ := s.EC2.Interface(s.enis[i])
			if c.Remaining != truth || c.Advertised != oldPods+truth || len(eni.Addresses) != oldPods || len(eni.Prefixes) != 1 {
				return fmt.Errorf("%s: remaining %d, advertised %d, %d secondary IPs, %d prefixes", name, c.Remaining, c.Advertised, len(eni.Addresses), len(eni.Prefixes))
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := s.table(ctx); err != nil {
		return err
	}
	fmt.Printf("\n      AWS's formula would let the scheduler bind %d more pods to each node; %d would\n      never get an address. Slotwise advertises %d in use + %d that are really left.\n",
		formula-oldPods, formula-oldPods-truth, oldPods, truth)
	return nil
}

func (s *story) flood(ctx context.Context) error {
	s.say(fmt.Sprintf("%d x %d pods are asked for", nodes, formula))
	if err := s.CreatePods(ctx, namespace, "new", asked); err != nil {
		return err
	}
	if err := s.awaitTotal(ctx, nodes*oldPods+fit); err != nil {
		return err
	}
	message, err := s.steady(ctx, asked-fit)
	if err != nil {
		return err
	}
	s.say(fmt.Sprintf("exactly %d x %d = %d new pods run, %d wait; the scheduler says of them:", nodes, truth, fit, asked-fit))
	fmt.Printf("\n      %s\n", strings.ReplaceAll(message, ". ", ".\n      "))
	return s.table(ctx)
}

// steady waits until all pods that cannot run have been turned away, and
// returns what the scheduler says of one of them.
func (s *story) steady(ctx context.Context, waiting int) (message string, err error) {
	err = s.Until(ctx, fmt.Sprintf("%d pods are turned away", waiting), func(ctx context.Context) error {
		var pods corev1.PodList
		if err := s.Kube.List(ctx, &pods, client.InNamespace(namespace)); err != nil {
			return err
		}
		turnedAway := 0
		for _, p := range pods.Items {
			for _, c := range p.Status.Conditions {
				if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && p.Spec.NodeName == "" {
					turnedAway++
					message = c.Message
				}
			}
		}
		if turnedAway != waiting {
			return fmt.Errorf("%d are", turnedAway)
		}
		return nil
	})
	return message, err
}

func (s *story) makeRoom(ctx context.Context) error {
	s.say(fmt.Sprintf("the %d old pods are deleted; their addresses cool down for 30 s, then their slots take prefixes", nodes*oldPods))
	for _, name := range s.names {
		if err := s.DeletePods(ctx, namespace, "old-"+name, oldPods); err != nil {
			return err
		}
	}
	if err := s.awaitTotal(ctx, asked); err != nil {
		return err
	}
	s.say(fmt.Sprintf("all %d pods run: the scheduler was woken by itself as the slots came free", asked))
	if err := s.table(ctx); err != nil {
		return err
	}
	s.say("what you would look at in a cluster: kubectl get nodeslots")
	shown, err := s.RunKubectl(ctx, "get", "nodeslots")
	if err != nil {
		return err
	}
	fmt.Printf("\n%s", indent(shown))
	return nil
}

// awaitTotal waits for a number of running pods and shows how far it is.
func (s *story) awaitTotal(ctx context.Context, want int) error {
	shown := -1
	err := s.Until(ctx, fmt.Sprintf("%d pods run", want), func(ctx context.Context) error {
		t, err := s.Tally(ctx, namespace)
		if err != nil {
			return err
		}
		if t.Running != shown {
			shown = t.Running
			s.progress(fmt.Sprintf("%d of %d pods run", shown, want))
		}
		if t.Running != want {
			return fmt.Errorf("%d run, %d are bound without an address", t.Running, t.Bare)
		}
		return nil
	})
	s.progressDone()
	return err
}

func (s *story) end(context.Context) error {
	var bare []string
	for _, l := range s.witness.Lives() {
		if l.Bare > 0 {
			bare = append(bare, l.Name)
		}
	}
	calls, failed := s.EC2.Counts(), s.EC2.Errors()
	s.say("the end")
	fmt.Printf("\n      pods bound without an address, ever: %d\n      EC2 calls:\n", len(bare))
	var actions []string
	for a := range calls {
		actions = append(actions, a)
	}
	slices.Sort(actions)
	for _, a := range actions {
		fmt.Printf("        %-28s %4d\n", a, calls[a])
	}
	errs := 0
	for _, n := range failed {
		errs += n
	}
	fmt.Printf("      EC2 errors: %d\n", errs)
	if len(bare) > 0 || errs > 0 {
		return fmt.Errorf("bound without an address: %v; EC2 errors: %v", bare, failed)
	}
	var broken error
	for _, v := range s.witness.Violations() {
		if v.Broken() {
			broken = errors.Join(broken, errors.New(s.witness.History(v, s.began)))
		}
	}
	return errors.Join(broken, s.EC2.Check())
}

func indent(text string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		if line != "" {
			b.WriteString("      " + line)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func (s *story) act(what string) {
	fmt.Fprintf(os.Stdout, "\n%s\n%s\n", what, strings.Repeat("=", len(what)))
}

func (s *story) say(what string) {
	fmt.Fprintf(os.Stdout, "\n%s %s\n", s.clock(), what)
}

func (s *story) clock() string { return fmt.Sprintf("%4.0fs", time.Since(s.began).Seconds()) }
