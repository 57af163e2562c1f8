package witness

import (
	"strconv"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// version is a version of a pod as the API server has it.
func version(uid string, revision int64, node, address string, phase corev1.PodPhase) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "pod", UID: types.UID(uid), ResourceVersion: strconv.FormatInt(revision, 10)},
		Spec:       corev1.PodSpec{NodeName: node},
		Status:     corev1.PodStatus{Phase: phase},
	}
	if address != "" {
		p.Annotations = map[string]string{annotation: address}
	}
	return p
}

func TestPods(t *testing.T) {
	const a = "10.0.0.17/32"
	created := version("u", 10, "", "", corev1.PodPending)
	bound := version("u", 20, "n", a, corev1.PodPending)
	for name, test := range map[string]struct {
		see  func(*pods) error
		want Life
	}{
		"lives": {
			see:  func(s *pods) error { _ = s.Add(created); return s.Update(bound) },
			want: Life{Bound: 20, From: 20, Alive: 20},
		},
		"lives on as others change": {
			see:  func(s *pods) error { _ = s.Add(bound); return s.Bookmark("33") },
			want: Life{Bound: 20, From: 20, Alive: 33},
		},
		"was bare first": {
			see: func(s *pods) error {
				_ = s.Add(version("u", 20, "n", "", corev1.PodPending))
				return s.Update(version("u", 25, "n", a, corev1.PodPending))
			},
			want: Life{Bound: 20, Bare: 20, From: 25, Alive: 25},
		},
		"is deleted": {
			see:  func(s *pods) error { _ = s.Add(bound); return s.Delete(version("u", 30, "n", a, corev1.PodRunning)) },
			want: Life{Bound: 20, From: 20, Alive: 29, Ended: 30},
		},
		"succeeds, and is deleted later": {
			see: func(s *pods) error {
				_ = s.Add(bound)
				_ = s.Update(version("u", 30, "n", a, corev1.PodSucceeded))
				return s.Delete(version("u", 40, "n", a, corev1.PodSucceeded))
			},
			want: Life{Bound: 20, From: 20, Alive: 29, Ended: 30},
		},
		"is rejected": {
			see: func(s *pods) error {
				_ = s.Add(bound)
				p := version("u", 30, "n", a, corev1.PodFailed)
				p.Status.Reason, p.Status.Message = "OutOfpods", "full"
				return s.Update(p)
			},
			want: Life{Bound: 20, From: 20, Alive: 29, Ended: 30, Rejected: "OutOfpods: full"},
		},
		"fails": {
			see: func(s *pods) error {
				_ = s.Add(bound)
				p := version("u", 30, "n", a, corev1.PodFailed)
				p.Status.Reason = "Evicted"
				return s.Update(p)
			},
			want: Life{Bound: 20, From: 20, Alive: 29, Ended: 30},
		},
		"is preempted": {
			see: func(s *pods) error {
				_ = s.Add(bound)
				p := version("u", 30, "n", a, corev1.PodRunning)
				p.Status.Conditions = []corev1.PodCondition{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: corev1.PodReasonPreemptionByScheduler}}
				_ = s.Update(p)
				p = p.DeepCopy()
				p.ResourceVersion, p.DeletionTimestamp = "31", new(metav1.Now())
				return s.Update(p)
			},
			want: Life{Bound: 20, From: 20, Alive: 31, Marked: 30, Leaving: 31},
		},
		"is disrupted by somebody else": {
			see: func(s *pods) error {
				_ = s.Add(bound)
				p := version("u", 30, "n", a, corev1.PodRunning)
				p.Status.Conditions = []corev1.PodCondition{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "EvictionByEvictionAPI"}}
				return s.Update(p)
			},
			want: Life{Bound: 20, From: 20, Alive: 30},
		},
		"ends while the watch is cut": {
			see:  func(s *pods) error { _ = s.Add(bound); return s.Replace(nil, "50") },
			want: Life{Bound: 20, From: 20, Alive: 20, Ended: 50},
		},
		"is replaced by another of its name while the watch is cut": {
			see: func(s *pods) error {
				_ = s.Add(bound)
				return s.Replace([]any{version("v", 45, "n", a, corev1.PodRunning)}, "50")
			},
			want: Life{Bound: 20, From: 20, Alive: 20, Ended: 50},
		},
		"outlives a cut": {
			see:  func(s *pods) error { _ = s.Add(bound); return s.Replace([]any{bound}, "50") },
			want: Life{Bound: 20, From: 20, Alive: 50},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newPods()
			if err := test.see(s); err != nil {
				t.Fatal(err)
			}
			for _, l := range s.lives() {
				if l.UID != "u" {
					continue
				}
				got := Life{
					Bound: l.Bound, Bare: l.Bare, From: l.From, Alive: l.Alive, Ended: l.Ended, Rejected: l.Rejected, Marked: l.Marked, Leaving: l.Leaving,
				}
				if got != test.want {
					t.Errorf("seen %+v, want %+v", got, test.want)
				}
			}
		})
	}
}

func TestOnlyNode(t *testing.T) {
	selects := func(s corev1.PodSpec) *corev1.Pod { return &corev1.Pod{Spec: s} }
	agent := corev1.PodSpec{Affinity: onNodeOnly("n")}
	for name, test := range map[string]struct {
		pod  *corev1.Pod
		want string
	}{
		"anywhere":       {pod: selects(corev1.PodSpec{})},
		"by a group":     {pod: selects(corev1.PodSpec{NodeSelector: map[string]string{"group": "g"}})},
		"by hostname":    {pod: selects(corev1.PodSpec{NodeSelector: map[string]string{corev1.LabelHostname: "n"}}), want: "n"},
		"of a DaemonSet": {pod: selects(agent), want: "n"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := onlyNode(test.pod); got != test.want {
				t.Errorf("it may be on %q, want %q", got, test.want)
			}
		})
	}
}

// onNodeOnly is the affinity of the pods of a DaemonSet.
func onNodeOnly(node string) *corev1.Affinity {
	return &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
			MatchFields: []corev1.NodeSelectorRequirement{{Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpIn, Values: []string{node}}},
		}}},
	}}
}
