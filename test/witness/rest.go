package witness

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/test/ec2sim"
)

// Settings are what the ConfigMap says while the system is at rest. Targets that
// are not positive are not set.
type Settings struct {
	Prefixes                      bool
	WarmPrefix, WarmIP, MinimumIP int
}

// State is what the API server has of the system at rest.
type State struct {
	Nodes []corev1.Node // those with Windows
	Pods  []corev1.Pod
	Shown map[string]Shown // by node
}

// scene is the system at rest, as the API server and EC2 have it.
type scene struct {
	State
	settings   Settings
	interfaces map[string]ec2sim.Interface // by node
	rooms      map[string]room             // by subnet
	told       func(types.UID) bool        // a pod that its address is lost
	refused    map[string]bool             // of an interface what was asked of it last
}

// Rest finds what is not as it must be once nothing happens any more: EC2, what
// Slotwise shows, and the pods have to agree to the last slot, and no pod waits
// that would fit.
func (w *Witness) Rest(state State, s Settings) (found []Violation) {
	now := w.scene(state, s)
	lost := func(eni, text string) {
		found = append(found, Violation{Kind: SlotLost, Text: text, ENI: eni, At: time.Now()})
	}
	if err := w.ec2.Check(); err != nil {
		lost("", "EC2's own books: "+err.Error())
	}
	remaining := map[string]int{}
	for i := range now.Nodes {
		n := &now.Nodes[i]
		if _, exists := now.interfaces[n.Name]; !exists {
			continue // of an instance that EC2 does not have
		}
		b := now.book(n)
		wrong, usable := b.judge(now.Shown[n.Name], n)
		remaining[n.Name] = usable
		for _, x := range wrong {
			found = append(found, Violation{Kind: SlotLost, Text: n.Name + ": " + x.text, ENI: b.eni.ID, Address: x.address, At: time.Now()})
		}
	}
	for _, text := range now.stuck(remaining, w.cluster.scheduler) {
		lost("", text)
	}
	return found
}

// scene adds what EC2 has to what the API server has.
func (w *Witness) scene(state State, s Settings) *scene {
	now := &scene{State: state, settings: s, interfaces: map[string]ec2sim.Interface{}, rooms: map[string]room{}, refused: refusedLast(w.ec2.Calls())}
	now.told = func(pod types.UID) bool {
		_, told := w.addressLost.of(pod)
		return told
	}
	interfaces := w.ec2.Interfaces()
	known := w.known()
	for name := range known.homes {
		eni := known.interfaceOf(name, time.Now())
		if i := slices.IndexFunc(interfaces, func(i ec2sim.Interface) bool { return i.ID == eni }); i >= 0 {
			now.interfaces[name] = interfaces[i]
		}
	}
	for _, s := range w.ec2.Subnets() {
		now.rooms[s.ID] = roomOf(s, interfaces)
	}
	return now
}

// refusedLast says of which interfaces EC2 has refused the last assign that it answered.
// An answer that there is no room is one.
func refusedLast(calls []ec2sim.Call) map[string]bool {
	refused := map[string]bool{}
	for _, c := range calls {
		if c.Action == "AssignPrivateIpAddresses" && !c.End.IsZero() && len(rangesOf(c)) == 0 {
			refused[c.ENI] = c.Code != "" && c.Code != ec2sim.CodeInsufficientBlocks && c.Code != ec2sim.CodeInsufficientAddresses
		}
	}
	return refused
}

// stuck tells of pods that wait although a node has an address left for them.
func (s *scene) stuck(remaining map[string]int, scheduler string) (texts []string) {
	waiting := map[string][]*corev1.Pod{} // by node that has room
	for i := range s.Pods {
		p := &s.Pods[i]
		if p.Spec.NodeName != "" || p.Spec.SchedulerName != scheduler || p.DeletionTimestamp != nil {
			continue
		}
		for j := range s.Nodes {
			n := &s.Nodes[j]
			if only := onlyNode(p); only != "" && only != n.Name {
				continue
			}
			if remaining[n.Name] > 0 && labels.SelectorFromSet(p.Spec.NodeSelector).Matches(labels.Set(n.Labels)) {
				waiting[n.Name] = append(waiting[n.Name], p)
				break
			}
		}
	}
	for node, pods := range waiting {
		texts = append(texts, fmt.Sprintf("%d pods wait although %s has %d addresses left: %s, %s",
			len(pods), node, remaining[node], pods[0].Name, saidOf(pods[0])))
	}
	slices.Sort(texts)
	return texts
}

// saidOf is why the scheduler has not bound a pod.
func saidOf(p *corev1.Pod) string {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled {
			return c.Reason + ": " + c.Message
		}
	}
	return "of which the scheduler says nothing"
}

// room is what a subnet can still give.
type room struct{ addresses, prefixes int }

// roomOf counts the free addresses and the wholly free aligned blocks of a
// subnet. Amazon keeps its first four addresses and its last. EC2 gives what a reservation
// of the type explicit covers only by name, and single addresses of one of the type prefix.
func roomOf(subnet ec2sim.Subnet, interfaces []ec2sim.Interface) (r room) {
	cidr, taken, forPrefixes := subnet.CIDR, map[netip.Addr]bool{}, map[netip.Addr]bool{}
	for _, x := range subnet.Reservations {
		for a := x.CIDR.Addr(); x.CIDR.Contains(a); a = a.Next() {
			taken[a] = x.Kind == ec2sim.ReservedExplicit
			forPrefixes[a] = x.Kind == ec2sim.ReservedForPrefixes
		}
	}
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
			free++
			if !forPrefixes[a] {
				r.addresses++
			}
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

// annotation is where a pod has its address, and resource what nodes advertise and pods
// ask for. They are written down once more here on purpose.
const (
	annotation = "vpc.amazonaws.com/PrivateIPv4Address"
	resource   = corev1.ResourceName(annotation)
)
