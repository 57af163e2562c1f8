package main

import (
	"context"
	"errors"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// cluster is all kubelets, and what the API server has told them.
type cluster struct {
	ctx    context.Context // of all kubelets
	writer *writer
	knobs  knobs

	mu       sync.Mutex
	kubelets map[string]*kubelet                  // by node
	pods     map[string]map[types.UID]*corev1.Pod // bound ones, by node, whether it has a kubelet or not
	filled   map[string]bool                      // by resource: all of it has been read
}

func newCluster(ctx context.Context, w *writer, k knobs) *cluster {
	return &cluster{
		ctx: ctx, writer: w, knobs: k,
		kubelets: map[string]*kubelet{},
		pods:     map[string]map[types.UID]*corev1.Pod{},
		filled:   map[string]bool{},
	}
}

// again is how soon a watch that was cut is tried again. client-go's own pauses
// grow to half a minute, and nothing shortens them.
const again = 200 * time.Millisecond

// watch follows all nodes, and all pods that are bound, until ctx ends. Nodes are
// read first, so that those that are there at the start are known when pods come.
func (c *cluster) watch(ctx context.Context, client kubernetes.Interface) {
	follow := func(resource string, kind any, selector fields.Selector, store cache.ReflectorStore) {
		lw := cache.NewListWatchFromClient(client.CoreV1().RESTClient(), resource, metav1.NamespaceAll, selector)
		r := cache.NewReflectorWithOptions(lw, kind, store, cache.ReflectorOptions{
			Name:    resource,
			Backoff: &wait.Backoff{Duration: again, Factor: 1, Steps: 1},
		})
		go r.RunWithContext(ctx)
	}
	follow("nodes", &corev1.Node{}, fields.Everything(), nodeStore{c})
	follow("pods", &corev1.Pod{}, fields.OneTermNotEqualSelector("spec.nodeName", ""), podStore{c})
}

// ready says why the kubelets do not serve yet.
func (c *cluster) ready() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.filled["nodes"] || !c.filled["pods"] {
		return errors.New("the watches are not filled yet")
	}
	return nil
}

// restart restarts the kubelet of a node; false where there is none.
func (c *cluster) restart(node string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.kubelets[node]
	if k == nil {
		return false
	}
	k.restart(c.pods[node])
	return true
}

// seeNode takes up a version of a Node. A kubelet, once there, stays: the machine
// goes on whatever becomes of its Node, or of the Node's labels. c is locked.
func (c *cluster) seeNode(n *corev1.Node) {
	k := c.kubelets[n.Name]
	if k == nil {
		if !windows(n) {
			return
		}
		k = newKubelet(c.ctx, c.writer, c.knobs)
		c.kubelets[n.Name] = k
		for _, p := range c.pods[n.Name] {
			k.seePod(p)
		}
	}
	k.seeNode(n)
}

// windows tells a machine with Windows by what its kubelet wrote into its Node, or
// by the label that others may change.
func windows(n *corev1.Node) bool {
	return n.Labels[corev1.LabelOSStable] == string(corev1.Windows) ||
		n.Status.NodeInfo.OperatingSystem == string(corev1.Windows)
}

// seePod takes up a version of a bound pod. c is locked.
func (c *cluster) seePod(p *corev1.Pod) {
	p.ManagedFields = nil // most of its bytes, and never read
	node := p.Spec.NodeName
	if c.pods[node] == nil {
		c.pods[node] = map[types.UID]*corev1.Pod{}
	}
	c.pods[node][p.UID] = p
	if k := c.kubelets[node]; k != nil {
		k.seePod(p)
	}
}

// forgetPod takes up that a pod is no longer there. c is locked.
func (c *cluster) forgetPod(p *corev1.Pod) {
	delete(c.pods[p.Spec.NodeName], p.UID)
	if k := c.kubelets[p.Spec.NodeName]; k != nil {
		k.forgetPod(p.UID)
	}
}
