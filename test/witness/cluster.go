package witness

import (
	"time"

	"slotwise.dev/slotwise/test/ec2sim"
)

// EC2 is what is known of subnets and interfaces: the simulated EC2's exact record.
type EC2 interface {
	Changes() []ec2sim.Change
	Calls() []ec2sim.Call
	Interfaces() []ec2sim.Interface
	Subnets() []ec2sim.Subnet
	// Check compares EC2's own books.
	Check() error
}

// Clock tells when revisions of the API server were written.
type Clock interface {
	// NotBefore is a time at which a revision had certainly not been written yet; zero
	// where none is known.
	NotBefore(revision int64) time.Time
	// NotAfter is a time by which it had certainly been written; false where none is
	// known yet.
	NotAfter(revision int64) (time.Time, bool)
}

// cluster is what the witness was told of nodes and their interfaces. Two nodes may have
// the same interface, and a node another one than before.
type cluster struct {
	homes  map[string][]home  // by node, in the order of time
	subnet map[string]string  // by ENI
	kind   map[string]string  // instance type, by ENI
	limits map[string][]limit // max-pods, by node, in the order of time
	// scheduler is the one that binds through the extender.
	scheduler string
}

// home is the interface of a node since a time.
type home struct {
	since time.Time
	eni   string
}

// limit is how many pods the kubelet of a node takes since a time.
type limit struct {
	since time.Time
	pods  int
}

func newCluster(scheduler string) cluster {
	return cluster{
		homes: map[string][]home{}, subnet: map[string]string{}, kind: map[string]string{},
		limits:    map[string][]limit{},
		scheduler: scheduler,
	}
}

// interfaceOf is the interface of a node at a time; that of its beginning where the time
// is before that, and empty where the node is not known.
func (c cluster) interfaceOf(node string, at time.Time) (eni string) {
	for i, h := range c.homes[node] {
		if i == 0 || !h.since.After(at) {
			eni = h.eni
		}
	}
	return eni
}

// mostPods is how many pods the kubelet of a node took at a time; false where that is not
// known. Another machine may have come by the name of a node since, with another limit.
func (c cluster) mostPods(node string, at time.Time) (most int, known bool) {
	for _, l := range c.limits[node] {
		if !l.since.After(at) {
			most, known = l.pods, true
		}
	}
	return most, known
}

// settle makes an interface that of a node from a time on.
func (c cluster) settle(node string, eni ec2sim.Interface, since time.Time) {
	c.homes[node] = append(c.homes[node], home{since, eni.ID})
	c.subnet[eni.ID], c.kind[eni.ID] = eni.Subnet, eni.Type
}
