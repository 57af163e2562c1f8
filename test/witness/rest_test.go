package witness

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestStuck(t *testing.T) {
	hostname := func(name string) map[string]string { return map[string]string{corev1.LabelHostname: name} }
	for name, test := range map[string]struct {
		pod  corev1.PodSpec
		want int
	}{
		"a node has room":              {pod: corev1.PodSpec{SchedulerName: "ours"}, want: 1},
		"it is bound":                  {pod: corev1.PodSpec{SchedulerName: "ours", NodeName: "room"}},
		"of another scheduler":         {pod: corev1.PodSpec{SchedulerName: "plain"}},
		"its node has room":            {pod: corev1.PodSpec{SchedulerName: "ours", NodeSelector: hostname("room")}, want: 1},
		"its node has none":            {pod: corev1.PodSpec{SchedulerName: "ours", NodeSelector: hostname("full")}},
		"its DaemonSet's node has":     {pod: ofDaemonSet("room"), want: 1},
		"its DaemonSet's node is full": {pod: ofDaemonSet("full")},
	} {
		t.Run(name, func(t *testing.T) {
			s := scene{State: State{Pods: []corev1.Pod{{Spec: test.pod}}}}
			for _, n := range []string{"full", "room"} {
				s.Nodes = append(s.Nodes, corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n, Labels: hostname(n)}})
			}
			if found := s.stuck(map[string]int{"room": 2}, "ours"); len(found) != test.want {
				t.Errorf("found %q, want %d", found, test.want)
			}
		})
	}
}

func ofDaemonSet(node string) corev1.PodSpec {
	return corev1.PodSpec{SchedulerName: "ours", Affinity: onNodeOnly(node)}
}
