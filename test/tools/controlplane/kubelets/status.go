package main

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What is published of a pod, turn by turn. Conditions are merged by their type
// into those that are there; all else replaces what was there.

// rejectedStatus is that of a pod that was not admitted (kubelet.go rejectPod).
func rejectedStatus(reason, message string, ran bool) corev1.PodStatus {
	s := corev1.PodStatus{Phase: corev1.PodFailed, Reason: reason, Message: "Pod was rejected: " + message}
	if ran {
		s.Conditions = conditions(corev1.ConditionFalse, "PodFailed", corev1.PodReady, corev1.ContainersReady)
	}
	return s
}

func runningStatus(p *corev1.Pod, host string) corev1.PodStatus {
	now := metav1.Now()
	s := corev1.PodStatus{
		Phase:     corev1.PodRunning,
		StartTime: &now,
		HostIP:    host,
		PodIP:     podIP(p, host),
		Conditions: conditions(corev1.ConditionTrue, "",
			corev1.PodReadyToStartContainers, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady),
	}
	if s.HostIP != "" {
		s.HostIPs = []corev1.HostIP{{IP: s.HostIP}}
	}
	if s.PodIP != "" {
		s.PodIPs = []corev1.PodIP{{IP: s.PodIP}}
	}
	for i := range p.Spec.Containers {
		c := containerStatus(&p.Spec.Containers[i])
		c.Ready, c.Started = true, new(true)
		c.State.Running = &corev1.ContainerStateRunning{StartedAt: now}
		s.ContainerStatuses = append(s.ContainerStatuses, c)
	}
	return s
}

// completedStatus is that of a pod whose containers have ended by themselves, and
// whose sandbox is still there.
func completedStatus(p *corev1.Pod) corev1.PodStatus {
	return corev1.PodStatus{
		Phase:             corev1.PodSucceeded,
		Conditions:        conditions(corev1.ConditionFalse, "PodCompleted", corev1.PodReady, corev1.ContainersReady),
		ContainerStatuses: terminated(p),
	}
}

// tornDownStatus adds that the sandbox has gone (kubelet_pods.go
// generateAPIPodStatus).
func tornDownStatus() corev1.PodStatus {
	return corev1.PodStatus{Conditions: conditions(corev1.ConditionFalse, "", corev1.PodReadyToStartContainers)}
}

// stoppedStatus is that of a pod that was deleted, with all of it gone. One that
// never started has failed.
func stoppedStatus(p *corev1.Pod, started bool) corev1.PodStatus {
	s := corev1.PodStatus{
		Phase: corev1.PodFailed,
		Conditions: conditions(corev1.ConditionFalse, "PodCompleted",
			corev1.PodReady, corev1.ContainersReady, corev1.PodReadyToStartContainers),
	}
	if started {
		s.Phase, s.ContainerStatuses = corev1.PodSucceeded, terminated(p)
	}
	return s
}

func terminated(p *corev1.Pod) (all []corev1.ContainerStatus) {
	for i := range p.Spec.Containers {
		c := containerStatus(&p.Spec.Containers[i])
		c.State.Terminated = &corev1.ContainerStateTerminated{Reason: "Completed", FinishedAt: metav1.Now()}
		all = append(all, c)
	}
	return all
}

func containerStatus(c *corev1.Container) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: c.Name, Image: c.Image}
}

func conditions(status corev1.ConditionStatus, reason string, types ...corev1.PodConditionType) (all []corev1.PodCondition) {
	now := metav1.Now()
	for _, t := range types {
		all = append(all, corev1.PodCondition{Type: t, Status: status, Reason: reason, LastTransitionTime: now})
	}
	return all
}
