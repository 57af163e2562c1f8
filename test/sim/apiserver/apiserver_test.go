package apiserver

import (
	"net/netip"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// bubble runs a test in virtual time, with a server that ends with it.
func bubble(t *testing.T, test func(t *testing.T, s *Server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := New()
		t.Cleanup(s.Close)
		test(t, s)
	})
}

// dial makes a client over a link with these conditions.
func dial(s *Server, c Conditions) *Client {
	return s.Client(NewLink(LinkOptions{Name: "test", Seed: 1, Conditions: c}))
}

var (
	key     = types.NamespacedName{Namespace: "default", Name: "web"}
	address = netip.MustParsePrefix("10.0.0.5/24")
)

func newPod(name string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
}

// made adds an object.
func made[T Object](t *testing.T, table Table[T], o T) T {
	t.Helper()
	o, err := table.Create(o)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// bound adds the pod of key on a node.
func bound(t *testing.T, s *Server) *corev1.Pod {
	t.Helper()
	p := made(t, s.Pods(), newPod(key.Name))
	if err := dial(s, Conditions{}).Bind(t.Context(), Assignment{Pod: key, UID: p.UID, Node: "node"}); err != nil {
		t.Fatal(err)
	}
	p, _ = s.Pods().Get(key)
	return p
}
