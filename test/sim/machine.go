package sim

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/test/ec2sim"
	"slotwise.dev/slotwise/test/sim/apiserver"
	"slotwise.dev/slotwise/test/sim/history"
	"slotwise.dev/slotwise/test/sim/kubelet"
	"slotwise.dev/slotwise/test/sim/process"
	"slotwise.dev/slotwise/test/witness"
)

// subnetLabel tells in which subnet a node is, for pods that are only for such nodes.
const subnetLabel = "sim.slotwise.dev/subnet"

// deletion is how long the sandbox of a pod that was deleted outlives its containers.
const deletion = 100 * time.Millisecond

// machine is an instance with a kubelet, and the Node that this has.
type machine struct {
	*kubelet.Machine
	node     history.Node
	instance string
	eni      string
	kubelet  *process.Process // its present life
	links    []*apiserver.Link
}

// join starts an instance, which joins the cluster as a node. A name that is there already
// stays as it is.
func (s *system) join(n history.Node) {
	if s.machines[n.Name] != nil {
		return
	}
	s.started++
	instance := fmt.Sprintf("i-%04d%s", s.started, n.Name)
	eni, err := s.cloud.AddInstance(ec2sim.Instance{ID: instance, Type: n.Type, Subnet: n.Subnet})
	if err != nil {
		s.count("nodes for which the subnet had no address")
		return
	}
	s.register(n, instance, eni)
}

// register has a kubelet of an instance start, and register a Node.
func (s *system) register(n history.Node, instance string, eni ec2sim.Interface) {
	s.judge.Node(n.Name, eni)
	s.judge.MaxPods(n.Name, n.Pods)
	s.note(witness.Note{Text: n.Name + " registers", Node: n.Name})
	m := &machine{node: n, instance: instance, eni: eni.ID}
	pods := s.newLink("kubelet-"+n.Name, nil, asUsual)
	own := s.newLink("kubelet-"+n.Name+"-node", nil, lagging(s.h.Cluster.NodeLag.D()))
	m.links = []*apiserver.Link{pods, own}
	m.Machine = kubelet.NewMachine(kubelet.Options{
		Node: s.nodeObject(n, instance, eni), Server: s.server,
		Client: s.server.Client(pods), NodeClient: s.server.Client(own), Seed: s.random.Uint64(),
		Ready:    apiserver.Spread{Min: 100 * time.Millisecond, Max: 2 * time.Second},
		Teardown: apiserver.Spread{Max: s.h.Cluster.Teardown.D()}, Deletion: apiserver.Spread{Max: deletion},
	})
	s.machines[n.Name] = m
	s.startKubelet(m, true)
}

func (s *system) nodeObject(n history.Node, instance string, eni ec2sim.Interface) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: map[string]string{
			corev1.LabelHostname: n.Name, corev1.LabelOSStable: string(corev1.Windows), subnetLabel: n.Subnet,
		}},
		Spec: corev1.NodeSpec{ProviderID: "aws:///" + zone + "/" + instance},
		Status: corev1.NodeStatus{
			Capacity:  corev1.ResourceList{corev1.ResourcePods: *resource.NewQuantity(int64(n.Pods), resource.DecimalSI)},
			Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: eni.Primary.String()}},
		},
	}
}

// startKubelet starts a life of a machine's kubelet.
func (s *system) startKubelet(m *machine, anew bool) {
	p := process.New(s.ctx, "kubelet-"+m.node.Name)
	m.kubelet = p
	p.Go(func(ctx context.Context) { m.Run(ctx, anew) })
}

// restartKubelet starts a kubelet anew: all its pods are admitted again.
func (s *system) restartKubelet(m *machine) {
	s.note(witness.Note{Text: "the kubelet of " + m.node.Name + " restarts"})
	m.kubelet.Stop()
	m.kubelet.Wait()
	s.startKubelet(m, false)
}

// leave terminates an instance. Its Node goes at once, as do the Nodes that share it, and
// its pods are collected a while later.
func (s *system) leave(name string, collected time.Duration) {
	m := s.machines[name]
	if m == nil || strings.HasSuffix(name, twinSuffix) {
		return
	}
	if err := s.cloud.Terminate(m.instance); err != nil {
		panic(err)
	}
	s.removeNode(name, collected)
	s.removeNode(name+twinSuffix, collected)
}

// removeNode ends a kubelet and deletes its Node; pods that are still there are collected a
// while later.
func (s *system) removeNode(name string, collected time.Duration) {
	m := s.machines[name]
	if m == nil {
		return
	}
	s.note(witness.Note{Text: name + " is deleted", Node: name})
	delete(s.machines, name)
	m.kubelet.Stop()
	m.kubelet.Wait()
	for _, l := range m.links {
		s.forgetLink(l)
	}
	s.deleteNode(name)
	old := s.podsOn(name)
	s.later(collected, func() { s.collect(old) })
}

// collect removes pods whose Node has gone.
func (s *system) collect(pods []*corev1.Pod) {
	for _, p := range pods {
		s.deletePod(p.Name, apiserver.Deletion{UID: p.UID, Grace: apiserver.Force()})
	}
}

func (s *system) deleteNode(name string) {
	// It may not have registered yet, or somebody else has deleted it.
	_ = s.server.Nodes().Delete(types.NamespacedName{Name: name}, apiserver.Deletion{})
}

// sweep deletes the Nodes without an instance, as cloud-controller-manager does: one that a
// kubelet had registered late, or whose name another instance has by now. The kubelet of
// that one registers then (controllers/nodelifecycle/node_lifecycle_controller.go).
func (s *system) sweep() {
	for _, n := range s.server.Nodes().List() {
		m := s.machines[n.Name]
		if m != nil && strings.HasSuffix(n.Spec.ProviderID, "/"+m.instance) {
			continue
		}
		s.deleteNode(n.Name)
		s.collect(s.podsOn(n.Name))
		if m != nil {
			s.restartKubelet(m)
		}
	}
	s.collectOrphans()
}

// collectOrphans removes the pods whose Node has gone before they were bound to it: those of
// a Binding that the API server has carried out late (pkg/controller/podgc/gc_controller.go
// gcOrphaned, which never ends).
func (s *system) collectOrphans() {
	var orphans []*corev1.Pod
	for _, p := range s.server.Pods().List() {
		if p.Spec.NodeName == "" || s.machines[p.Spec.NodeName] != nil {
			continue
		}
		if _, there := s.server.Nodes().Get(types.NamespacedName{Name: p.Spec.NodeName}); !there {
			orphans = append(orphans, p)
		}
	}
	s.collect(orphans)
}

// podsOn are the pods of a node.
func (s *system) podsOn(node string) (pods []*corev1.Pod) {
	for _, p := range s.server.Pods().List() {
		if p.Spec.NodeName == node {
			pods = append(pods, p)
		}
	}
	return pods
}

const twinSuffix = "-twin"

// addTwin has an instance register a second Node, for a while.
func (s *system) addTwin(name string, d time.Duration) {
	m := s.machines[name]
	twin := name + twinSuffix
	if m == nil || s.machines[twin] != nil {
		return
	}
	eni, there := s.cloud.Interface(m.eni)
	if !there {
		return
	}
	n := m.node
	n.Name = twin
	s.register(n, m.instance, eni)
	s.later(d, func() { s.removeNode(twin, 0) })
}

// reregister deletes the Node of an instance that lives on, and makes it again. Its kubelet
// goes on meanwhile.
func (s *system) reregister(name string, d time.Duration) {
	m := s.machines[name]
	if m == nil {
		return
	}
	s.note(witness.Note{Text: name + " is deleted, and its instance lives on", Node: name})
	s.deleteNode(name)
	s.later(d, func() {
		if s.machines[name] == m {
			s.note(witness.Note{Text: name + " registers again", Node: name})
			m.kubelet.Stop()
			m.kubelet.Wait()
			s.startKubelet(m, false)
		}
	})
}

// changeNode changes the Node of a machine, if it is there.
func (s *system) changeNode(name string, change func(*corev1.Node)) {
	_, _ = s.server.Nodes().Change(types.NamespacedName{Name: name}, "", func(n *corev1.Node) error {
		change(n)
		return nil
	}) // it may have gone
}
