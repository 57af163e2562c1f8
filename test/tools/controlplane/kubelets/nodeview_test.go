package main

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

func TestNodeView(t *testing.T) {
	first, second, third := &corev1.Node{}, &corev1.Node{}, &corev1.Node{}
	start := time.Now()
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	view := func() *nodeView {
		v := &nodeView{lag: 100 * time.Millisecond}
		v.add(first, at(0))
		v.add(second, at(500))
		v.add(third, at(550))
		return v
	}
	for name, test := range map[string]struct {
		see  func(*nodeView) *corev1.Node
		want *corev1.Node
	}{
		"the first is known at once":  {func(v *nodeView) *corev1.Node { return v.at(at(0)) }, first},
		"a second is not known yet":   {func(v *nodeView) *corev1.Node { return v.at(at(599)) }, first},
		"a second is known":           {func(v *nodeView) *corev1.Node { return v.at(at(600)) }, second},
		"the last is known":           {func(v *nodeView) *corev1.Node { return v.at(at(650)) }, third},
		"a read of its own tells all": {func(v *nodeView) *corev1.Node { v.refresh(); return v.at(at(550)) }, third},
	} {
		t.Run(name, func(t *testing.T) {
			if got := test.see(view()); got != test.want {
				t.Errorf("it is another version")
			}
		})
	}
}
