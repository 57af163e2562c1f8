package kubelet

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What is written of a pod, turn by turn. Each is a change of its status.

type change func(*corev1.PodStatus)

// rejectedStatus is that of a pod that was not admitted (kubelet.go rejectPod).
func rejectedStatus(v verdict, ran bool) change {
	return func(s *corev1.PodStatus) {
		s.Phase, s.Reason, s.Message = corev1.PodFailed, v.reason, "Pod was rejected: "+v.message
		if ran {
			setConditions(s, corev1.ConditionFalse, "PodFailed", corev1.PodReady, corev1.ContainersReady)
		}
	}
}

// runningStatus is that of a pod that has started.
func runningStatus(address, host string) change {
	if address == "" {
		address = host
	}
	return func(s *corev1.PodStatus) {
		now := metav1.Now()
		s.Phase, s.StartTime, s.HostIP, s.PodIP = corev1.PodRunning, &now, host, address
		s.PodIPs = []corev1.PodIP{{IP: address}}
		setConditions(s, corev1.ConditionTrue, "",
			corev1.PodReadyToStartContainers, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady)
	}
}

// endedStatus is that of a pod whose containers have ended by themselves, and whose
// sandbox is still there.
func endedStatus(phase corev1.PodPhase) change {
	return func(s *corev1.PodStatus) {
		s.Phase = phase
		setConditions(s, corev1.ConditionFalse, "PodCompleted", corev1.PodReady, corev1.ContainersReady)
	}
}

// tornDownStatus adds that the sandbox has gone (kubelet_pods.go generateAPIPodStatus).
func tornDownStatus(s *corev1.PodStatus) {
	setConditions(s, corev1.ConditionFalse, "", corev1.PodReadyToStartContainers)
}

// stoppedStatus is that of a pod that was deleted, with all of it gone. One that never
// started has failed.
func stoppedStatus(started bool) change {
	return func(s *corev1.PodStatus) {
		s.Phase = corev1.PodFailed
		if started {
			s.Phase = corev1.PodSucceeded
		}
		setConditions(s, corev1.ConditionFalse, "PodCompleted",
			corev1.PodReady, corev1.ContainersReady, corev1.PodReadyToStartContainers)
	}
}

func setConditions(s *corev1.PodStatus, status corev1.ConditionStatus, reason string, types ...corev1.PodConditionType) {
	now := metav1.Now()
	for _, t := range types {
		c := corev1.PodCondition{Type: t, Status: status, Reason: reason, LastTransitionTime: now}
		set := false
		for i := range s.Conditions {
			if s.Conditions[i].Type == t {
				s.Conditions[i], set = c, true
			}
		}
		if !set {
			s.Conditions = append(s.Conditions, c)
		}
	}
}
