package webhook

import (
	"context"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"slotwise.dev/slotwise/allocator/vpc"
)

// create has the API server create a pod, all but the last step: it returns the
// pod as it would be stored, and whether the webhook has seen it.
func create(ctx context.Context, namespace string, spec corev1.PodSpec) (pod *corev1.Pod, seen bool, err error) {
	before := sent.Load()
	pod, err = cluster.Client.CoreV1().Pods(namespace).Create(ctx,
		&corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "pod-"}, Spec: spec},
		metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	return pod, sent.Load() > before, err
}

// requested returns how many addresses the pod asks for, as the scheduler counts.
func requested(pod *corev1.Pod) (n int64) {
	for _, c := range pod.Spec.Containers {
		q := c.Resources.Requests[vpc.Resource]
		n += q.Value()
	}
	return n
}

// creation is a pod that is created, and what is to become of it.
type creation struct {
	spec      corev1.PodSpec
	namespace string // default: default
	off       bool   // enable-windows-ipam
	wantSeen  bool   // by the webhook
	want      int64  // addresses
}

func creations() map[string]creation {
	const os, beta = vpc.LabelOS, vpc.LabelOSBeta
	main := corev1.Container{Name: "main", Image: "pause"}
	with := func(spec corev1.PodSpec, containers ...corev1.Container) corev1.PodSpec {
		spec.Containers = append([]corev1.Container{main}, containers...)
		return spec
	}
	selecting := func(label, value string) corev1.PodSpec {
		return with(corev1.PodSpec{NodeSelector: map[string]string{label: value}})
	}
	on := func(system corev1.OSName) *corev1.PodOS { return &corev1.PodOS{Name: system} }
	greedy := corev1.Container{Name: "greedy", Image: "pause", Resources: asking(addresses(3), addresses(3))}
	hostProcess := &corev1.PodSecurityContext{WindowsOptions: &corev1.WindowsSecurityContextOptions{
		HostProcess: new(true), RunAsUserName: new(`NT AUTHORITY\SYSTEM`),
	}}

	return map[string]creation{
		"says nothing":               {spec: with(corev1.PodSpec{})},
		"Linux by spec.os":           {spec: with(corev1.PodSpec{OS: on(corev1.Linux)})},
		"Linux by selector":          {spec: selecting(os, "linux")},
		"Linux by affinity":          {spec: with(requiring(term(in(os, "linux"))))},
		"not Linux":                  {spec: with(requiring(term(notIn(os, "linux"))))},
		"the host's network":         {spec: with(corev1.PodSpec{OS: on(corev1.Windows), HostNetwork: true})},
		"HostProcess":                {spec: with(corev1.PodSpec{OS: on(corev1.Windows), HostNetwork: true, SecurityContext: hostProcess})},
		"the cluster's namespace":    {spec: with(corev1.PodSpec{OS: on(corev1.Windows)}), namespace: "kube-system", wantSeen: true, want: 1},
		"Linux in there":             {spec: with(corev1.PodSpec{OS: on(corev1.Linux)}), namespace: "kube-system"},
		"Windows or Linux":           {spec: with(requiring(term(in(os, "windows", "linux")))), wantSeen: true},
		"switched off":               {spec: with(corev1.PodSpec{OS: on(corev1.Windows)}), off: true, wantSeen: true},
		"Windows by spec.os":         {spec: with(corev1.PodSpec{OS: on(corev1.Windows)}), wantSeen: true, want: 1},
		"Windows by selector":        {spec: selecting(os, "windows"), wantSeen: true, want: 1},
		"Windows by selector, beta":  {spec: selecting(beta, "windows"), wantSeen: true, want: 1},
		"Windows by affinity":        {spec: with(requiring(term(in(os, "windows")))), wantSeen: true, want: 1},
		"Windows by affinity, beta":  {spec: with(requiring(term(in(beta, "windows")))), wantSeen: true, want: 1},
		"other affinity beside":      {spec: with(requiring(term(in("zone", "a"), in(os, "windows")))), wantSeen: true, want: 1},
		"asked for too much already": {spec: with(corev1.PodSpec{OS: on(corev1.Windows)}, greedy), wantSeen: true, want: 1},
		"asked by an init container": {spec: with(corev1.PodSpec{OS: on(corev1.Windows), InitContainers: []corev1.Container{greedy}}), wantSeen: true, want: 1},
	}
}

func TestAPIServer(t *testing.T) {
	for name, tc := range creations() {
		t.Run(name, func(t *testing.T) {
			enabled.Store(!tc.off)
			namespace := tc.namespace
			if namespace == "" {
				namespace = metav1.NamespaceDefault
			}
			pod, seen, err := create(t.Context(), namespace, tc.spec)
			if err != nil {
				t.Fatal(err)
			}
			if seen != tc.wantSeen {
				t.Errorf("the webhook was asked: %t, want %t", seen, tc.wantSeen)
			}
			if got := requested(pod); got != tc.want {
				t.Errorf("the pod asks for %d addresses, want %d", got, tc.want)
			}
			wantScheduler := corev1.DefaultSchedulerName
			if tc.want > 0 {
				wantScheduler = schedulerName
			}
			if pod.Spec.SchedulerName != wantScheduler {
				t.Errorf("the pod's scheduler is %s, want %s", pod.Spec.SchedulerName, wantScheduler)
			}
			for _, c := range pod.Spec.InitContainers {
				if q := c.Resources.Requests[vpc.Resource]; !q.Equal(resource.Quantity{}) {
					t.Errorf("init container %s asks for %s addresses", c.Name, q.String())
				}
			}
		})
	}
}

// TestWithoutAnAnswer: where Slotwise is away, or cannot tell what to do, a Windows pod
// is refused, but none of the cluster's own. Linux pods are not concerned.
func TestWithoutAnAnswer(t *testing.T) {
	enabled.Store(true)
	spec := func(system corev1.OSName) corev1.PodSpec {
		return corev1.PodSpec{OS: &corev1.PodOS{Name: system}, Containers: []corev1.Container{{Name: "main", Image: "pause"}}}
	}
	for name, reason := range map[string]*atomic.Bool{"away": &away, "cannot tell": &untold} {
		t.Run(name, func(t *testing.T) {
			reason.Store(true)
			t.Cleanup(func() { reason.Store(false) })
			if _, seen, err := create(t.Context(), metav1.NamespaceDefault, spec(corev1.Windows)); err == nil || !seen {
				t.Errorf("a Windows pod: sent %t, %v; want a refusal", seen, err)
			}
			if _, _, err := create(t.Context(), metav1.NamespaceDefault, spec(corev1.Linux)); err != nil {
				t.Errorf("a Linux pod: %v", err)
			}
			pod, seen, err := create(t.Context(), metav1.NamespaceSystem, spec(corev1.Windows))
			if err != nil || !seen {
				t.Fatalf("a Windows pod of the cluster: sent %t, %v", seen, err)
			}
			if got := requested(pod); got != 0 || pod.Spec.SchedulerName != corev1.DefaultSchedulerName {
				t.Errorf("a Windows pod of the cluster asks for %d addresses and for %s, want as it was", got, pod.Spec.SchedulerName)
			}
		})
	}
}

// TestEveryWindowsPodIsSent: the match conditions of the shipped configuration,
// evaluated by the API server, let no pod by that needs an address.
func TestEveryWindowsPodIsSent(t *testing.T) {
	enabled.Store(true)
	rapid.Check(t, func(rt *rapid.T) {
		spec := requiring(rapid.SliceOfN(genTerm, 1, 3).Draw(rt, "terms")...)
		spec.NodeSelector = rapid.SampledFrom([]map[string]string{
			nil, {"zone": "a"}, {vpc.LabelOS: "windows"}, {vpc.LabelOSBeta: "windows"}, {vpc.LabelOS: "linux"},
		}).Draw(rt, "selector")
		spec.OS = rapid.SampledFrom([]*corev1.PodOS{nil, {Name: corev1.Linux}, {Name: corev1.Windows}}).Draw(rt, "os")
		spec.HostNetwork = rapid.Bool().Draw(rt, "host network")
		spec.Containers = []corev1.Container{{Name: "main", Image: "pause"}}

		needs := NeedsAddress(&corev1.Pod{Spec: spec})
		pod, seen, err := create(t.Context(), metav1.NamespaceDefault, spec)
		if err != nil {
			rt.Fatal(err)
		}
		if needs && !seen {
			rt.Error("the pod needs an address, and the webhook was not asked")
		}
		if got := requested(pod); (got == 1) != needs {
			rt.Errorf("the pod asks for %d addresses, needs one: %t", got, needs)
		}
	})
}
