package testenv

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/vpc"
)

// Tally counts the pods of a namespace, or of all namespaces.
type Tally struct {
	Pods    int
	Bound   int            // to a node
	Running int            // started: the kubelet had an address for them
	Bare    int            // bound without an address
	ByNode  map[string]int // running, by node
	Waiting []string       // those that neither run nor have ended, each with what it waits for
	// Rejected are those that their kubelet did not admit, each with what it said.
	Rejected []string
}

// Tally counts pods as the API server has them now.
func (e *Env) Tally(ctx context.Context, namespace string) (Tally, error) {
	var pods corev1.PodList
	if err := e.Kube.List(ctx, &pods, client.InNamespace(namespace)); err != nil {
		return Tally{}, err
	}
	t := Tally{Pods: len(pods.Items), ByNode: map[string]int{}}
	for i := range pods.Items {
		p := &pods.Items[i]
		if rejected(p) {
			t.Rejected = append(t.Rejected, fmt.Sprintf("%s/%s on %s: %s: %s", p.Namespace, p.Name, p.Spec.NodeName, p.Status.Reason, p.Status.Message))
		}
		if p.Status.Phase == corev1.PodPending {
			t.Waiting = append(t.Waiting, waitsFor(p))
		}
		if p.Spec.NodeName == "" {
			continue
		}
		t.Bound++
		if p.Annotations[vpc.Annotation] == "" {
			t.Bare++
		}
		if p.Status.Phase == corev1.PodRunning {
			t.Running++
			t.ByNode[p.Spec.NodeName]++
		}
	}
	return t, nil
}

// rejected says that the kubelet of a pod has not admitted it, for want of something
// or for a reason of its own (Kubernetes 1.37, pkg/kubelet/lifecycle/predicate.go).
func rejected(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodFailed &&
		(strings.HasPrefix(p.Status.Reason, "OutOf") || p.Status.Reason == "UnexpectedAdmissionError")
}

// AwaitRunning waits until n pods of a namespace run. It does not wait on where a
// kubelet has rejected one: that one never will.
func (e *Env) AwaitRunning(ctx context.Context, namespace string, n int) error {
	return e.Until(ctx, fmt.Sprintf("%d pods run in %s", n, namespace), func(ctx context.Context) error {
		t, err := e.Tally(ctx, namespace)
		if err == nil && t.Running != n && len(t.Rejected) > 0 {
			return hopeless{fmt.Errorf("%d of %d pods run, kubelets have rejected %d: %s",
				t.Running, t.Pods, len(t.Rejected), strings.Join(t.Rejected[:min(3, len(t.Rejected))], "; "))}
		}
		if err == nil && t.Running != n {
			err = fmt.Errorf("%d of %d pods run, %d are bound; %d wait: %s",
				t.Running, t.Pods, t.Bound, len(t.Waiting), strings.Join(t.Waiting[:min(3, len(t.Waiting))], "; "))
		}
		return err
	})
}

// AwaitTurnedAway waits until n pods of a namespace have been turned away by the
// scheduler and no other is unbound, and returns what it says of one of them.
func (e *Env) AwaitTurnedAway(ctx context.Context, namespace string, n int) (message string, err error) {
	err = e.Until(ctx, fmt.Sprintf("%d pods in %s are turned away", n, namespace), func(ctx context.Context) error {
		var pods corev1.PodList
		if err := e.Kube.List(ctx, &pods, client.InNamespace(namespace)); err != nil {
			return err
		}
		unbound, turnedAway := 0, 0
		for i := range pods.Items {
			if pods.Items[i].Spec.NodeName != "" {
				continue
			}
			unbound++
			if text := refusal(&pods.Items[i]); text != "" {
				turnedAway++
				message = text
			}
		}
		if turnedAway != n || unbound != n {
			return fmt.Errorf("%d are, of %d that are not bound", turnedAway, unbound)
		}
		return nil
	})
	return message, err
}

// refusal is what the scheduler says of a pod that it has turned away; empty
// where it has not.
func refusal(p *corev1.Pod) string {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return c.Message
		}
	}
	return ""
}

// waitsFor says what a pod that does not run waits for.
func waitsFor(p *corev1.Pod) string {
	switch name := p.Namespace + "/" + p.Name; {
	case p.Spec.NodeName == "":
		return name + " for a node: " + refusal(p)
	case p.Annotations[vpc.Annotation] == "":
		return name + " on " + p.Spec.NodeName + " for an address"
	default:
		return name + " on " + p.Spec.NodeName + " for its kubelet"
	}
}

// hopeless is what is wrong for good.
type hopeless struct{ error }

// Until waits, two minutes at the most, until check finds nothing wrong. What is
// hopeless it does not wait for.
func (e *Env) Until(ctx context.Context, what string, check func(context.Context) error) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, timeout, true, func(ctx context.Context) (bool, error) {
		err := check(ctx)
		if err == nil || ctx.Err() == nil { // the end of the wait tells nothing; what was wrong before does
			last = err
		}
		return err == nil || errors.As(err, new(hopeless)), nil
	})
	if err = errors.Join(err, last); err != nil {
		return fmt.Errorf("wait until %s: %w", what, err)
	}
	return nil
}
