package events

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
)

var iis = types.NamespacedName{Namespace: "default", Name: "iis"}

func TestReferences(t *testing.T) {
	configMap := types.NamespacedName{Namespace: "kube-system", Name: "amazon-vpc-cni"}
	for name, c := range map[string]struct{ got, want *corev1.ObjectReference }{
		"a Node: by its name, as kubectl describe looks for it": {
			got:  Node("win-1"),
			want: &corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: "win-1", UID: "win-1"},
		},
		"a pod": {
			got:  Pod(iis, "1"),
			want: &corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: "default", Name: "iis", UID: "1"},
		},
		"a ConfigMap": {
			got:  ConfigMap(configMap),
			want: &corev1.ObjectReference{APIVersion: "v1", Kind: "ConfigMap", Namespace: "kube-system", Name: "amazon-vpc-cni"},
		},
		"a field of a version of a ConfigMap": {
			got: ConfigMapField(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
				Namespace: "kube-system", Name: "amazon-vpc-cni", UID: "2", ResourceVersion: "3",
			}}, "warm-ip-target"),
			want: &corev1.ObjectReference{
				APIVersion: "v1", Kind: "ConfigMap", Namespace: "kube-system", Name: "amazon-vpc-cni",
				UID: "2", ResourceVersion: "3", FieldPath: "data.warm-ip-target",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, c.got); diff != "" {
				t.Errorf("the reference differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReporter(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(r Reporter)
		want string
	}{
		"well":   {do: func(r Reporter) { r.Normal(Node("win-1"), "Reason", "Act", "well") }, want: "Normal Reason well"},
		"not so": {do: func(r Reporter) { r.Warn(Node("win-1"), "Reason", "Act", "not so") }, want: "Warning Reason not so"},
		"a note is no format": {
			do: func(r Reporter) { r.Warn(Node("win-1"), "Reason", "Act", "100% of %s") }, want: "Warning Reason 100% of %s",
		},
		"a normal note is no format": {
			do: func(r Reporter) { r.Normal(Node("win-1"), "Reason", "Act", "100%d") }, want: "Normal Reason 100%d",
		},
		"an address": {
			do:   func(r Reporter) { r.Allocated(iis, "1", netip.MustParsePrefix("10.0.0.9/24")) },
			want: "Normal ResourceAllocated Allocated vpc.amazonaws.com/PrivateIPv4Address: 10.0.0.9/24 to the pod",
		},
	} {
		t.Run(name, func(t *testing.T) {
			recorder := events.NewFakeRecorder(1)
			c.do(Reporter{Recorder: recorder})
			if got := <-recorder.Events; got != c.want {
				t.Errorf("reported %q, want %q", got, c.want)
			}
		})
	}
}
