package witness

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/api/v1alpha1"
	"slotwise.dev/slotwise/test/controlplane"
	"slotwise.dev/slotwise/test/ec2sim"
)

// Settings are what the ConfigMap says while the system is at rest. Targets that
// are not positive are not set.
type Settings struct {
	Prefixes                      bool
	WarmPrefix, WarmIP, MinimumIP int
}

// scene is the system at rest, as the API server and EC2 have it.
type scene struct {
	settings   Settings
	nodes      []corev1.Node
	pods       []corev1.Pod
	shown      map[string]v1alpha1.NodeSlotsStatus // by node
	interfaces map[string]ec2sim.Interface         // by node
	rooms      map[string]room                     // by subnet
	told       func(types.UID) bool                // a pod that its address is lost
}

// Rest finds what is not as it must be once nothing happens any more: EC2, what
// Slotwise shows, and the pods have to agree to the last slot, and no pod waits
// that would fit.
func (w *Witness) Rest(ctx context.Context, kube client.Client, s Settings) ([]Violation, error) {
	now, err := w.scene(ctx, kube, s)
	if err != nil {
		return nil, err
	}
	var found []Violation
	lost := func(eni, text string) {
		found = append(found, Violation{Kind: SlotLost, Text: text, ENI: eni, At: time.Now()})
	}
	if err := w.ec2.Check(); err != nil {
		lost("", "EC2's own books: "+err.Error())
	}
	remaining := map[string]int{}
	for i := range now.nodes {
		n := &now.nodes[i]
		b := now.book(n)
		remaining[n.Name] = b.remaining()
		for _, text := range b.compare(now.shown[n.Name], n) {
			lost(b.eni.ID, n.Name+": "+text)
		}
	}
	for _, text := range now.stuck(remaining, w.world.scheduler) {
		lost("", text)
	}
	return found, nil
}

// scene reads everything that there is to compare.
func (w *Witness) scene(ctx context.Context, kube client.Client, s Settings) (*scene, error) {
	told := func(pod types.UID) bool {
		_, told := w.addressLost.of(pod)
		return told
	}
	now := &scene{settings: s, told: told, shown: map[string]v1alpha1.NodeSlotsStatus{}, interfaces: map[string]ec2sim.Interface{}, rooms: map[string]room{}}
	var nodes corev1.NodeList
	if err := kube.List(ctx, &nodes, client.MatchingLabels{corev1.LabelOSStable: string(corev1.Windows)}); err != nil {
		return nil, err
	}
	var pods corev1.PodList
	if err := kube.List(ctx, &pods); err != nil {
		return nil, err
	}
	now.nodes, now.pods = nodes.Items, pods.Items
	slots := &unstructured.UnstructuredList{}
	slots.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("NodeSlotsList"))
	if err := kube.List(ctx, slots); err != nil {
		return nil, err
	}
	for i := range slots.Items {
		var shown v1alpha1.NodeSlots
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(slots.Items[i].Object, &shown); err != nil {
			return nil, err
		}
		now.shown[shown.Name] = shown.Status
	}
	interfaces := w.ec2.Interfaces()
	for name, eni := range w.world.eni {
		now.interfaces[name] = interfaces[slices.IndexFunc(interfaces, func(i ec2sim.Interface) bool { return i.ID == eni })]
	}
	for id, cidr := range w.world.cidr {
		now.rooms[id] = roomOf(cidr, interfaces)
	}
	return now, nil
}

// stuck tells of pods that wait although a node has an address left for them.
func (s *scene) stuck(remaining map[string]int, scheduler string) (texts []string) {
	waiting := map[string]int{} // by node that has room
	for i := range s.pods {
		p := &s.pods[i]
		if p.Spec.NodeName != "" || p.Spec.SchedulerName != scheduler || p.DeletionTimestamp != nil {
			continue
		}
		for j := range s.nodes {
			n := &s.nodes[j]
			if only := onlyNode(p); only != "" && only != n.Name {
				continue
			}
			if remaining[n.Name] > 0 && labels.SelectorFromSet(p.Spec.NodeSelector).Matches(labels.Set(n.Labels)) {
				waiting[n.Name]++
				break
			}
		}
	}
	for node, n := range waiting {
		texts = append(texts, fmt.Sprintf("%d pods wait although %s has %d addresses left", n, node, remaining[node]))
	}
	slices.Sort(texts)
	return texts
}

// room is what a subnet can still give.
type room struct{ addresses, prefixes int }

// roomOf counts the free addresses and the wholly free aligned blocks of a
// subnet. Amazon keeps its first four addresses and its last.
func roomOf(cidr netip.Prefix, interfaces []ec2sim.Interface) (r room) {
	taken := map[netip.Addr]bool{}
	for _, i := range interfaces {
		taken[i.Primary] = true
		for _, a := range i.Addresses {
			taken[a] = true
		}
		for _, p := range i.Prefixes {
			for a := p.Addr(); p.Contains(a); a = a.Next() {
				taken[a] = true
			}
		}
	}
	first := cidr.Addr()
	for range 4 {
		taken[first] = true
		first = first.Next()
	}
	free := 0 // of the block that is being counted
	for a, i := cidr.Addr(), 0; cidr.Contains(a); a, i = a.Next(), i+1 {
		last := !cidr.Contains(a.Next())
		if !taken[a] && !last {
			r.addresses++
			free++
		}
		if i%16 == 15 {
			if free == 16 {
				r.prefixes++
			}
			free = 0
		}
	}
	return r
}

// live says that a pod has not ended.
func live(p *corev1.Pod) bool {
	return p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed
}

// resource is what nodes advertise and pods ask for.
const resource = corev1.ResourceName(controlplane.AddressAnnotation)
