package sim

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/test/sim/apiserver"
	"slotwise.dev/slotwise/test/sim/history"
	"slotwise.dev/slotwise/test/sim/kubelet"
)

// protectedLabel is that of pods that a disruption budget protects, of which nothing is
// left.
const protectedLabel = "sim.slotwise.dev/protected"

func protected(p *corev1.Pod) bool { return p.Labels[protectedLabel] == "true" }

// create has pods come, as they are once the webhook has seen them.
func (s *system) create(p history.Pod, count int) {
	for i := range max(1, count) {
		one := p
		if count > 1 {
			one.Name = fmt.Sprintf("%s-%d", p.Name, i)
		}
		// Where one of its name is still about to go, there is one pod less.
		_, _ = s.server.Pods().Create(podObject(one))
	}
}

func podObject(p history.Pod) *corev1.Pod {
	o := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: p.Name, Annotations: map[string]string{}, Labels: map[string]string{}},
		Spec: corev1.PodSpec{
			SchedulerName: ours, NodeName: p.Bound, NodeSelector: map[string]string{corev1.LabelOSStable: string(corev1.Windows)},
			TerminationGracePeriodSeconds: new(int64(30)),
			Priority:                      new(int32(p.Priority)),
			Containers:                    []corev1.Container{{Name: "main"}},
		},
		Status: corev1.PodStatus{Phase: corev1.PodPending},
	}
	switch {
	case p.Bound != "":
		o.Spec.SchedulerName = byHand
	case p.Plain:
		o.Spec.SchedulerName = plain
	}
	if !p.Quiet {
		one := corev1.ResourceList{resourceName: *resource.NewQuantity(1, resource.DecimalSI)}
		o.Spec.Containers[0].Resources = corev1.ResourceRequirements{Requests: one, Limits: one}
	}
	if p.Subnet != "" {
		o.Spec.NodeSelector[subnetLabel] = p.Subnet
	}
	if p.Only != "" {
		o.Spec.Affinity = onlyOn(p.Only)
	}
	if p.Protected {
		o.Labels[protectedLabel] = "true"
	}
	for annotation, d := range map[string]history.Duration{
		kubelet.StartAfterAnnotation: p.Starts, kubelet.CompleteAfterAnnotation: p.Runs, kubelet.StopAfterAnnotation: p.Stops,
	} {
		if d > 0 {
			o.Annotations[annotation] = d.String()
		}
	}
	return o
}

// onlyOn is what the pod of a DaemonSet asks for.
func onlyOn(node string) *corev1.Affinity {
	return &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
			MatchFields: []corev1.NodeSelectorRequirement{{Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpIn, Values: []string{node}}},
		}}},
	}}
}

// deletePod deletes a pod, if it is there.
func (s *system) deletePod(name string, how apiserver.Deletion) {
	_ = s.server.Pods().Delete(types.NamespacedName{Namespace: namespace, Name: name}, how) // it may have gone
}

// rollOut deletes a pod, and makes another of its name once it has gone.
func (s *system) rollOut(name string, p history.Pod) {
	s.deletePod(name, apiserver.Deletion{})
	s.onceGone(name, p, time.Minute)
}

// onceGone makes a pod once there is none of its name; after a while it is given up.
func (s *system) onceGone(name string, p history.Pod, within time.Duration) {
	if _, there := s.pod(name); !there {
		s.create(p, 1)
		return
	}
	const look = 500 * time.Millisecond
	if within > 0 && s.trouble.Err() == nil {
		s.later(look, func() { s.onceGone(name, p, within-look) })
	}
}

func (s *system) pod(name string) (*corev1.Pod, bool) {
	return s.server.Pods().Get(types.NamespacedName{Namespace: namespace, Name: name})
}

// endPhase has another client write that a pod has succeeded.
func (s *system) endPhase(name string) {
	p, there := s.pod(name)
	if !there || p.Status.Phase != corev1.PodRunning {
		return
	}
	_, _ = s.server.Pods().Change(types.NamespacedName{Namespace: namespace, Name: name}, p.UID, func(p *corev1.Pod) error {
		p.Status.Phase = corev1.PodSucceeded
		return nil
	}) // it may have gone
}

// live lists the pods that have not ended, in order of their names.
func (s *system) live() (pods []*corev1.Pod) {
	for _, p := range s.server.Pods().List() {
		if p.Namespace == namespace && p.DeletionTimestamp == nil && p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
			pods = append(pods, p)
		}
	}
	return pods
}

// endJobs deletes the pods that end by themselves: as long as some wait, others come and
// go, and nothing is at rest.
func (s *system) endJobs() {
	for _, p := range s.live() {
		if p.Annotations[kubelet.CompleteAfterAnnotation] != "" {
			s.deletePod(p.Name, apiserver.Deletion{Grace: apiserver.Force()})
		}
	}
}

// halfGo deletes every other pod that is on a node.
func (s *system) halfGo() {
	for i, p := range s.live() {
		if i%2 == 0 && p.Spec.NodeName != "" {
			s.deletePod(p.Name, apiserver.Deletion{})
		}
	}
}

// allGo deletes all pods by force.
func (s *system) allGo() {
	for _, p := range s.server.Pods().List() {
		if p.Namespace == namespace {
			s.deletePod(p.Name, apiserver.Deletion{Grace: apiserver.Force()})
		}
	}
}
