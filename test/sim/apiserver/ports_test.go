package apiserver

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/api/v1alpha1"
	"slotwise.dev/slotwise/allocator/kube"
	"slotwise.dev/slotwise/allocator/vpc"
)

var nodeKey = types.NamespacedName{Name: "node"}

func newNode() *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: nodeKey.Name}}
}

func TestPods(t *testing.T) {
	bubble(t, func(t *testing.T, s *Server) {
		ctx, pods := t.Context(), dial(s, Healthy()).Pods()
		if p, err := pods.Get(ctx, key); !apierrors.IsNotFound(err) || p != nil {
			t.Errorf("a pod that is not there: %v, %v", p, err)
		}
		p := bound(t, s)
		made(t, s.Pods(), newPod("elsewhere"))
		if err := pods.Annotate(ctx, key, p.UID, address); err != nil {
			t.Fatal(err)
		}
		version := s.Version()
		if err := pods.Annotate(ctx, key, p.UID, address); err != nil || s.Version() != version {
			t.Errorf("a patch that changes nothing: %v, version %d after %d", err, s.Version(), version)
		}
		if err := pods.Annotate(ctx, key, "another", address); !apierrors.IsInvalid(err) {
			t.Errorf("a patch with another UID: %v", err)
		}
		found, err := pods.OnNode(ctx, "node")
		if err != nil || len(found) != 1 || found[0].Annotations[vpc.Annotation] != address.String() {
			t.Errorf("on the node are %v, %v", found, err)
		}
	})
}

func TestAdvertise(t *testing.T) {
	bubble(t, func(t *testing.T, s *Server) {
		nodes := dial(s, Healthy()).Nodes()
		a := kube.Advert{Resource: vpc.Resource, Total: 9, Annotations: map[string]string{"remaining": "9"}}
		if err := nodes.Advertise(t.Context(), "node", a); !apierrors.IsNotFound(err) {
			t.Errorf("a Node that is not there: %v", err)
		}
		made(t, s.Nodes(), newNode())
		for range 2 {
			if err := nodes.Advertise(t.Context(), "node", a); err != nil {
				t.Fatal(err)
			}
		}
		n, _ := s.Nodes().Get(nodeKey)
		capacity, allocatable := n.Status.Capacity[vpc.Resource], n.Status.Allocatable[vpc.Resource]
		if capacity.Value() != 9 || allocatable.Value() != 9 || n.Annotations["remaining"] != "9" || s.Version() != 2 {
			t.Errorf("the Node shows %v, %v, %v at version %d", capacity, allocatable, n.Annotations, s.Version())
		}
	})
}

func TestNodeSlots(t *testing.T) {
	bubble(t, func(t *testing.T, s *Server) {
		ctx, held := t.Context(), true
		slots := dial(s, Healthy()).NodeSlots(func() bool { return held })
		status := v1alpha1.NodeSlotsStatus{Mode: "prefix", KnownFree: []string{"10.0.0.16/28"}}
		if _, err := slots.Write(ctx, "node", "", status); !apierrors.IsNotFound(err) {
			t.Errorf("without its Node: %v", err)
		}
		n := made(t, s.Nodes(), newNode())
		first, err := slots.Write(ctx, "node", "", status)
		if err != nil {
			t.Fatal(err)
		}
		o, _ := s.NodeSlots().Get(nodeKey)
		if o.Status.Mode != "prefix" || o.OwnerReferences[0].UID != n.UID || o.ResourceVersion != first {
			t.Errorf("the object is %+v", o)
		}
		status.Free = 16
		second, err := slots.Write(ctx, "node", first, status)
		if err != nil {
			t.Fatal(err)
		}
		status.Free = 17
		if _, err := slots.Write(ctx, "node", first, status); !apierrors.IsConflict(err) {
			t.Errorf("over an older version: %v", err)
		}
		held = false
		if _, err := slots.Write(ctx, "node", second, status); !errors.Is(err, kube.ErrNotLeading) {
			t.Errorf("without the lease: %v", err)
		}
		held = true
		if got, version, err := slots.Read(ctx, "node"); err != nil || got.Free != 16 || version != second {
			t.Errorf("read %v, %s, %v", got, version, err)
		}
		if err := slots.Remove(ctx, "node"); err != nil {
			t.Error(err)
		}
		if err := slots.Remove(ctx, "node"); err != nil {
			t.Errorf("what is not there: %v", err)
		}
	})
}

// NodeSlots go with their Node, and with a Node that came back as another.
func TestGarbage(t *testing.T) {
	bubble(t, func(t *testing.T, s *Server) {
		made(t, s.Nodes(), newNode())
		slots := dial(s, Healthy()).NodeSlots(func() bool { return true })
		if _, err := slots.Write(t.Context(), "node", "", v1alpha1.NodeSlotsStatus{Mode: "prefix"}); err != nil {
			t.Fatal(err)
		}
		if err := s.Nodes().Delete(nodeKey, Deletion{}); err != nil {
			t.Fatal(err)
		}
		made(t, s.Nodes(), newNode())
		if _, there := s.NodeSlots().Get(nodeKey); !there {
			t.Error("collected at once")
		}
		time.Sleep(time.Second)
		if _, there := s.NodeSlots().Get(nodeKey); there {
			t.Error("not collected")
		}
	})
}

func TestCache(t *testing.T) {
	bubble(t, func(t *testing.T, s *Server) {
		ctx := t.Context()
		made(t, s.Nodes(), newNode())
		made(t, s.ConfigMaps(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "amazon-vpc-cni"}, Data: map[string]string{"a": "1"}})
		time.Sleep(time.Second)          // lists may be stale
		var toldNodes, toldMaps []string // by two goroutines
		c := dial(s, Healthy()).Cache(ctx, CacheOptions{
			Nodes:      func(_, n *corev1.Node) { toldNodes = append(toldNodes, n.Name) },
			ConfigMaps: func(_, m *corev1.ConfigMap) { toldMaps = append(toldMaps, m.Data["a"]) },
		})
		if !c.Sync(ctx) {
			t.Fatal("no first lists")
		}
		mapKey := types.NamespacedName{Namespace: "kube-system", Name: "amazon-vpc-cni"}
		if _, err := s.ConfigMaps().Change(mapKey, "", func(m *corev1.ConfigMap) error { m.Data["a"] = "2"; return nil }); err != nil {
			t.Fatal(err)
		}
		var m corev1.ConfigMap
		if err := c.Get(ctx, mapKey, &m); err != nil || m.Data["a"] != "1" {
			t.Errorf("before the watch tells: %v, %v", m.Data, err)
		}
		time.Sleep(time.Second)
		if err := c.Get(ctx, mapKey, &m); err != nil || m.Data["a"] != "2" {
			t.Errorf("after it has: %v, %v", m.Data, err)
		}
		m.Data["a"] = "mine"
		var nodes corev1.NodeList
		if err := c.List(ctx, &nodes); err != nil || len(nodes.Items) != 1 {
			t.Errorf("Nodes are %v, %v", nodes.Items, err)
		}
		if err := c.Get(ctx, client.ObjectKey{Name: "none"}, &appsv1.Deployment{}); !apierrors.IsNotFound(err) {
			t.Errorf("a Deployment that is not there: %v", err)
		}
		synctest.Wait()
		if !slices.Equal(toldMaps, []string{"1", "2"}) || !slices.Equal(toldNodes, []string{"node"}) {
			t.Errorf("told of %q and %q", toldMaps, toldNodes)
		}
		if stored, _ := s.ConfigMaps().Get(mapKey); stored.Data["a"] != "2" {
			t.Error("what was read is what is stored")
		}
	})
}

func TestEvents(t *testing.T) {
	bubble(t, func(t *testing.T, s *Server) {
		p := bound(t, s)
		dial(s, Conditions{}).Events().Eventf(p, nil, corev1.EventTypeNormal, "ResourceAllocated", "Allocate", "got %s", address)
		got := s.Recorded()
		if len(got) != 1 || got[0].Note != "got 10.0.0.5/24" || got[0].Regarding.UID != p.UID || got[0].By != "test" {
			t.Errorf("recorded %+v", got)
		}
	})
}
