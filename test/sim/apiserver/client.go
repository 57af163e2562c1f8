package apiserver

// Client is the API server as one process sees it. Of other kinds and verbs than those
// that Slotwise uses, see Table.Via.
type Client struct {
	server *Server
	link   *Link
}

// Client is a client over a link.
func (s *Server) Client(l *Link) *Client { return &Client{s, l} }

// Pods is allocator/kube.Pods.
func (c *Client) Pods() PodsPort { return PodsPort{c} }

// Nodes is allocator/kube.Nodes.
func (c *Client) Nodes() NodesPort { return NodesPort{c} }

// NodeSlots is allocator/kube.NodeSlots. held is asked before each request that changes
// something, as allocator/kube asks it.
func (c *Client) NodeSlots(held func() bool) NodeSlotsPort { return NodeSlotsPort{c, held} }
