package scheduler

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// cache is what the scheduler believes of nodes and of the pods that are there
// (backend/cache/cache.go). A pod that it has decided on is assumed to be on its node until
// the watch shows it there, or its bind has failed: there is no time after which that is
// given up. Guarded by memory.mu.
type cache struct {
	nodes    map[string]*nodeInfo
	order    []string // the nodes in the order in which they came
	pods     map[types.UID]cachedPod
	snapshot []*nodeInfo // of all nodes with a Node; nil: to be made anew
}

type cachedPod struct {
	info    *podInfo
	node    string
	assumed bool
}

func newCache() *cache {
	return &cache{nodes: map[string]*nodeInfo{}, pods: map[types.UID]cachedPod{}}
}

// list is all nodes as they are now.
func (c *cache) list() []*nodeInfo {
	if c.snapshot == nil {
		c.snapshot = make([]*nodeInfo, 0, len(c.order))
		for _, name := range c.order {
			if n := c.nodes[name]; n.node != nil {
				c.snapshot = append(c.snapshot, n)
			}
		}
	}
	return c.snapshot
}

func (c *cache) setNode(n *corev1.Node) {
	c.put(n.Name, c.at(n.Name).withNode(n))
	if !slices.Contains(c.order, n.Name) {
		c.order = append(c.order, n.Name)
	}
}

// removeNode forgets a Node. Its pods stay until the watch tells that they have gone
// (cache.go RemoveNode).
func (c *cache) removeNode(name string) {
	c.order = slices.DeleteFunc(c.order, func(other string) bool { return other == name })
	c.put(name, c.at(name).withNode(nil))
}

func (c *cache) at(name string) *nodeInfo {
	if n := c.nodes[name]; n != nil {
		return n
	}
	return &nodeInfo{}
}

func (c *cache) put(name string, n *nodeInfo) {
	c.snapshot = nil
	if n.node == nil && len(n.pods) == 0 {
		delete(c.nodes, name)
		return
	}
	c.nodes[name] = n
}

// assume takes a pod for one that is on a node, before it is bound.
func (c *cache) assume(p *podInfo, node string) error {
	if _, there := c.pods[p.pod.UID]; there {
		return fmt.Errorf("pod %s/%s is in the cache, so can't be assumed", p.pod.Namespace, p.pod.Name)
	}
	c.insert(p, node, true)
	return nil
}

// add takes up that a pod is on a node, also on another than it was assumed to be.
func (c *cache) add(p *corev1.Pod) {
	before := c.pods[p.UID]
	info := newPodInfo(p, before.info)
	if before.node == p.Spec.NodeName {
		c.pods[p.UID] = cachedPod{info, before.node, false}
		c.put(before.node, c.at(before.node).swapped(info))
		return
	}
	c.remove(p.UID)
	c.insert(info, p.Spec.NodeName, false)
}

func (c *cache) insert(p *podInfo, node string, assumed bool) {
	c.pods[p.pod.UID] = cachedPod{p, node, assumed}
	c.put(node, c.at(node).with(p))
}

func (c *cache) remove(uid types.UID) {
	p, there := c.pods[uid]
	if !there {
		return
	}
	delete(c.pods, uid)
	c.put(p.node, c.at(p.node).without(p.info))
}

func (c *cache) assumed(uid types.UID) bool { return c.pods[uid].assumed }
