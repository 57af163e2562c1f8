package node

import (
	"slices"
	"sync"
	"sync/atomic"

	"slotwise.dev/slotwise/allocator/settings"
)

// Names are the Nodes of one instance: the one that offers its capacity, with what it says
// of it, and the others, which offer none.
type Names struct {
	Offers  string
	MaxPods int // of its kubelet, pods on the host's network included; 0: not known
	Mode    settings.Choice
	Others  []string
}

// Equal says that two are the same.
func (n Names) Equal(o Names) bool {
	return n.Offers == o.Offers && n.MaxPods == o.MaxPods && n.Mode == o.Mode && slices.Equal(n.Others, o.Others)
}

// Identity is what a node is called. It is safe for concurrent use.
type Identity struct {
	Instance string // EC2 instance id

	names atomic.Pointer[Names]
	dns   atomic.Pointer[string]

	mu     sync.Mutex
	unread []string // names of Nodes whose pods are yet to be read
}

// Name is the Node that offers what the interface has.
func (i *Identity) Name() string { return i.names.Load().Offers }

// Names are all of them.
func (i *Identity) Names() Names { return *i.names.Load() }

// Rename sets them, and says whether they are others than before.
func (i *Identity) Rename(names Names) bool { return !i.names.Swap(&names).Equal(names) }

// OfferedByAnother says that another Node than the one of this name offers what the
// interface has. It does not keep the name.
func (i *Identity) OfferedByAnother(name []byte) bool {
	all := i.names.Load()
	return len(all.Others) > 0 && all.Offers != string(name)
}

// DNSName is what EC2 calls the instance; empty before it is known.
func (i *Identity) DNSName() string {
	if name := i.dns.Load(); name != nil {
		return *name
	}
	return ""
}

// ReadPods has the pods of a Node read that the first list of the watch has passed over.
func (i *Identity) ReadPods(name string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !slices.Contains(i.unread, name) {
		i.unread = append(i.unread, name)
	}
}

// nextUnread is a Node whose pods are to be read; empty: none is.
func (i *Identity) nextUnread() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.unread) == 0 {
		return ""
	}
	return i.unread[0]
}

// podsRead notes that the pods of a Node have been read.
func (i *Identity) podsRead(name string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.unread = slices.DeleteFunc(i.unread, func(n string) bool { return n == name })
}
