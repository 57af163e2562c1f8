package controlplane_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slotwise.dev/slotwise/test/controlplane"
)

// TestAPIServerComesBack takes the API server away in each way there is, and
// looks whether data, kubelets and scheduler are there when it comes back.
func TestAPIServerComesBack(t *testing.T) {
	server := cluster.APIServer
	for name, test := range map[string]struct {
		take func(context.Context) error
		give func(context.Context) error
	}{
		"after its end": {take: func(context.Context) error { return server.Stop() }, give: server.Start},
		"after a crash": {take: server.Kill, give: server.Start},
		"after it hung": {take: func(context.Context) error { return server.Freeze() }, give: func(context.Context) error { return server.Thaw() }},
	} {
		t.Run(name, func(t *testing.T) {
			namespace := cluster.NewNamespace(t)
			cluster.NewNode(t, controlplane.Node{Labels: map[string]string{"test": namespace}})
			create(t, newPod(namespace, "before"))
			before := awaitPod(t, namespace, "before", inPhase(corev1.PodRunning))

			ctx, cancel := context.WithTimeout(t.Context(), awaitTimeout)
			defer cancel()
			if err := test.take(ctx); err != nil {
				t.Fatal(err)
			}
			expectAway(t)
			start := time.Now()
			if err := test.give(ctx); err != nil {
				t.Fatal(err)
			}
			t.Log("it was back after", time.Since(start).Round(time.Millisecond))

			after := awaitPod(t, namespace, "before", inPhase(corev1.PodRunning))
			if before.UID != after.UID {
				t.Error("the pod is another one")
			}
			create(t, newPod(namespace, "after"))
			awaitPod(t, namespace, "after", inPhase(corev1.PodRunning))
		})
	}
}

// expectAway checks that the API server does not answer.
func expectAway(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), settle)
	defer cancel()
	_, err := cluster.Client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	var refused *net.OpError
	var failed *url.Error
	if !errors.As(err, &refused) && !errors.As(err, &failed) && !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("the API server is not away: %v", err)
	}
}

// TestScheduler starts a second scheduler with a configuration of its own, and
// takes it away.
func TestScheduler(t *testing.T) {
	second := controlplane.Scheduler{Name: "second", Config: []byte(`
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
- schedulerName: second
`)}
	scheduler, err := cluster.StartScheduler(t.Context(), second)
	if err != nil {
		t.Fatal(err)
	}
	namespace := cluster.NewNamespace(t)
	cluster.NewNode(t, controlplane.Node{Labels: map[string]string{"test": namespace}})
	pod := newPod(namespace, "first")
	pod.Spec.SchedulerName = "second"
	create(t, pod)
	awaitPod(t, namespace, "first", inPhase(corev1.PodRunning))

	if err := scheduler.Stop(); err != nil {
		t.Fatal(err)
	}
	pod = newPod(namespace, "waits")
	pod.Spec.SchedulerName = "second"
	create(t, pod)
	stays(t, namespace, "waits", corev1.PodPending)

	if scheduler, err = cluster.StartScheduler(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	awaitPod(t, namespace, "waits", inPhase(corev1.PodRunning))
	if err := scheduler.Kill(); err != nil {
		t.Fatal(err)
	}
}

// TestSchedulerRefuses checks that a configuration which kube-scheduler does not
// take is an error that says where to look.
func TestSchedulerRefuses(t *testing.T) {
	_, err := cluster.StartScheduler(t.Context(), controlplane.Scheduler{
		Name:   "refused",
		Config: []byte("extender: []"),
	})
	if err == nil || !strings.Contains(err.Error(), "refused.log") {
		t.Errorf("error is %v, want one that names the log", err)
	}
}

func TestProcess(t *testing.T) {
	run := func(t *testing.T, script string) *controlplane.Process {
		t.Helper()
		process, err := cluster.Run(t.Context(), controlplane.Command{Name: "process", Path: "/bin/sh", Args: []string{"-c", script}})
		if err != nil {
			t.Fatal(err)
		}
		return process
	}
	for name, test := range map[string]struct {
		script string
		end    func(*controlplane.Process) error
	}{
		"stopped":             {"sleep 60", (*controlplane.Process).Stop},
		"killed":              {"trap '' TERM; while :; do sleep 1; done", (*controlplane.Process).Kill},
		"stopped when frozen": {"sleep 60", func(p *controlplane.Process) error { return errors.Join(p.Freeze(), p.Stop()) }},
		"ended by itself":     {"exit 1", func(p *controlplane.Process) error { <-p.Done(); return p.Stop() }},
	} {
		t.Run(name, func(t *testing.T) {
			process := run(t, test.script)
			if err := test.end(process); err != nil {
				t.Error(err)
			}
			select {
			case <-process.Done():
			default:
				t.Error("it has not ended")
			}
		})
	}
}
