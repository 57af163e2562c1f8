package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"text/tabwriter"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/vpc"
	"slotwise.dev/slotwise/test/awsallocator"
	"slotwise.dev/slotwise/test/controlplane"
	"slotwise.dev/slotwise/test/testenv"
)

// The figures of the first act: what AWS's formula has the scheduler bind.
const (
	promised = nodes * (formula - oldPods) // new pods
	hang     = promised - fit              // of which so many never start
)

// withAWS is the first act: the switch with AWS's controller and kube-scheduler as it comes.
// At its end the cluster is as it was before the switch, with the old pods running.
func (s *story) withAWS(ctx context.Context, e *testenv.Env) (err error) {
	s.Env = e
	s.act("Act one: AWS's controller, and kube-scheduler as it comes")
	scheduler, err := e.Cluster.StartScheduler(ctx, controlplane.Scheduler{})
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- awsallocator.Run(running, e.Client, e.EC2) }()
	defer func() {
		stop()
		err = errors.Join(err, <-ended, scheduler.Stop())
	}()
	for _, chapter := range []func(context.Context) error{s.join, s.promise, s.overschedule, s.backAgain} {
		if err := chapter(ctx); err != nil {
			return err
		}
	}
	return nil
}

// join has the nodes join, and the old pods run on them.
func (s *story) join(ctx context.Context) error {
	s.say(fmt.Sprintf("%d %s nodes join, in secondary IP mode; their kubelets take %d pods (max-pods; 110 unless told otherwise, less than 14 x 16)", nodes, instanceType, maxPods))
	if err := errors.Join(s.CreateNamespace(ctx, namespace), s.PrefixMode(ctx, false)); err != nil {
		return err
	}
	for i := range nodes {
		name := fmt.Sprintf("win-%d", i+1)
		eni, err := s.JoinNode(ctx, name, instanceType, testenv.Subnet, testenv.MaxPods(maxPods))
		if err != nil {
			return err
		}
		s.names, s.enis = append(s.names, name), append(s.enis, eni)
		if err := s.CreatePods(ctx, namespace, "old-"+name, oldPods, testenv.OnNode(name), asksForAddress); err != nil {
			return err
		}
	}
	if err := s.AwaitRunning(ctx, namespace, nodes*oldPods); err != nil {
		return err
	}
	s.say(fmt.Sprintf("%d pods run, each on a secondary IP", nodes*oldPods))
	return nil
}

// asksForAddress is what AWS's webhook does to a Windows pod.
func asksForAddress(p *corev1.Pod) {
	one := resource.MustParse("1")
	r := &p.Spec.Containers[0].Resources
	r.Requests[vpc.Resource] = one
	r.Limits = corev1.ResourceList{vpc.Resource: one}
}

// promise switches the mode: the nodes promise what AWS's formula says.
func (s *story) promise(ctx context.Context) error {
	s.say("prefix delegation is switched on, with all pods running")
	if err := s.PrefixMode(ctx, true); err != nil {
		return err
	}
	return s.Until(ctx, "every node advertises AWS's formula", func(ctx context.Context) error {
		for _, name := range s.names {
			total, err := s.advertised(ctx, name)
			if err == nil && total != formula {
				err = fmt.Errorf("%s advertises %d", name, total)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *story) advertised(ctx context.Context, node string) (int, error) {
	var n corev1.Node
	err := s.Kube.Get(ctx, client.ObjectKey{Name: node}, &n)
	total := n.Status.Allocatable[vpc.Resource]
	return int(total.Value()), err
}

// overschedule asks for as many pods as the formula promises.
func (s *story) overschedule(ctx context.Context) error {
	s.say(fmt.Sprintf("%d x %d pods are asked for", nodes, formula))
	if err := s.CreatePods(ctx, namespace, "aws", asked, asksForAddress); err != nil {
		return err
	}
	err := s.Until(ctx, "the scheduler has bound what the formula promises", func(ctx context.Context) error {
		t, err := s.Tally(ctx, namespace)
		// A kubelet that has not heard of the new total rejects a pod, for which another is bound.
		bound, bare := t.Bound-len(t.Rejected), t.Bare-len(t.Rejected)
		if err == nil && (bound != nodes*oldPods+promised || t.Running != nodes*oldPods+fit || bare != hang) {
			err = fmt.Errorf("%d pods are bound, %d run, %d are bound without an address", bound, t.Running, bare)
		}
		return err
	})
	if err != nil {
		return err
	}
	s.say(fmt.Sprintf("%d new pods are bound: %d run, and %d hang in ContainerCreating, on nodes that have no address for them", promised, fit, hang))
	return s.promises(ctx)
}

// promises shows each node: what is on its interface, what it advertises, and what became
// of the pods that were bound for it.
func (s *story) promises(ctx context.Context) error {
	t, err := s.Tally(ctx, namespace)
	if err != nil {
		return err
	}
	fmt.Println()
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "      node\tslots\tsecondary IPs\tprefixes\tadvertised\tpods run\tpods hang\t")
	for i, name := range s.names {
		total, err := s.advertised(ctx, name)
		if err != nil {
			return err
		}
		eni, _ := s.EC2.Interface(s.enis[i])
		fmt.Fprintf(w, "      %s\t%d\t%d\t%d\t%d\t%d\t%d\t\n", name, slots,
			len(eni.Addresses), len(eni.Prefixes), total, t.ByNode[name], total-t.ByNode[name])
	}
	return w.Flush()
}

// backAgain brings the cluster back to where it was before the switch.
func (s *story) backAgain(ctx context.Context) error {
	s.say("back to the beginning: the new pods are deleted, the mode is secondary IPs again; addresses cool for 30 s, then AWS's controller gives the prefixes back")
	if err := errors.Join(s.DeletePods(ctx, namespace, "aws", asked), s.PrefixMode(ctx, false)); err != nil {
		return err
	}
	return s.Until(ctx, "no interface has a prefix", func(context.Context) error {
		for i, name := range s.names {
			if eni, _ := s.EC2.Interface(s.enis[i]); len(eni.Prefixes) > 0 {
				return fmt.Errorf("%s has %d prefixes", name, len(eni.Prefixes))
			}
		}
		return nil
	})
}
