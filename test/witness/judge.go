package witness

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/test/ec2sim"
)

// Kind is a way in which a promise is broken.
type Kind string

// The kinds of violations, each of one of the invariants of the system.
const (
	HeldTwice   Kind = "addresses held by two live pods at once"        // I1
	ReusedEarly Kind = "addresses reused inside the cooldown"           // I2
	CallFailed  Kind = "EC2 calls that had to fail"                     // I3
	BoundBare   Kind = "pods bound without an address"                  // I4
	NotOnENI    Kind = "addresses unassigned while held by a live pod"  // I5
	Changed     Kind = "addresses that changed while their pod lived"   // I5
	Rejected    Kind = "pods that a kubelet rejected"                   // I9
	GivenAbsent Kind = "addresses given that were not on the interface" // I10
	Needless    Kind = "pods evicted for one that did not need it"
	SlotLost    Kind = "slots lost, or figures that were not so at rest" // I6, I8
)

// Kinds are all of them.
var Kinds = []Kind{HeldTwice, ReusedEarly, CallFailed, BoundBare, NotOnENI, Changed, Rejected, GivenAbsent, Needless, SlotLost}

// Violation is one time that a promise was broken, for certain.
type Violation struct {
	Kind    Kind
	Text    string
	Pod     string     // namespace/name of the pod concerned; empty: none in particular
	Address netip.Addr // whose history tells more; may be invalid
	ENI     string     // or that of this interface
	At      time.Time
	// Thawed says that a leader that had been frozen for longer than its lease
	// had just thawed: what it had begun to send before, no lease can stop.
	Thawed bool
	// Taken says that others had taken the address from the interface of the first pod
	// that had it, and EC2 gave it to another interface, or to another leader.
	Taken bool
}

// Broken says that there is nothing by which the violation could be excused.
func (v Violation) Broken() bool { return !v.Thawed && !v.Taken }

const (
	// cooldown is how long an address rests after its pod (invariant I2). It is
	// written down once more here on purpose.
	cooldown = 30 * time.Second
	// thawed is how long after its thaw a leader's last words may be heard.
	thawed = 5 * time.Second
	// healing is how long two pods may have one address before the younger one has
	// to be gone, even after a thaw.
	healing = time.Minute
)

// evidence is all that is known, at one moment.
type evidence struct {
	clock   Clock
	pods    []Life
	changes []ec2sim.Change
	calls   []ec2sim.Call
	subnets []ec2sim.Subnet
	notes   []Note
	// preemptors is who preempted a pod, by the pod preempted, where it is known.
	preemptors map[types.UID]types.UID
	cluster    cluster
	now        time.Time
}

// judge finds every violation that is certain, in order of time.
func judge(e evidence) []Violation {
	all := slices.Concat(e.bare(), e.changed(), e.rejected(), e.successions(), e.missing(), e.failedCalls(), e.givenAbsent(), e.needless())
	slices.SortStableFunc(all, func(a, b Violation) int { return a.At.Compare(b.At) })
	return all
}

// bare finds pods that were bound through the extender without an address.
func (e evidence) bare() (found []Violation) {
	for _, l := range e.pods {
		if l.Bare > 0 && l.Scheduler == e.cluster.scheduler {
			found = append(found, Violation{
				Kind: BoundBare, Pod: l.Name, At: e.clock.NotBefore(l.Bare), ENI: e.eni(l),
				Text: fmt.Sprintf("%s was bound to %s without an address", l.Name, l.Node),
			})
		}
	}
	return found
}

// changed finds pods whose address changed.
func (e evidence) changed() (found []Violation) {
	for _, l := range e.pods {
		if l.Changed.IsValid() {
			found = append(found, Violation{
				Kind: Changed, Pod: l.Name, At: e.clock.NotBefore(l.From), Address: l.Address,
				Text: fmt.Sprintf("%s changed its address from %s to %s", l.Name, l.Address, l.Changed),
			})
		}
	}
	return found
}

// successions finds addresses that two pods had at once, or one too soon after
// the other.
func (e evidence) successions() (found []Violation) {
	holders := map[netip.Addr][]Life{}
	for _, l := range e.pods {
		if l.From > 0 {
			holders[l.Address] = append(holders[l.Address], l)
		}
	}
	for _, lives := range holders {
		slices.SortFunc(lives, func(a, b Life) int { return cmp.Compare(a.From, b.From) })
		for i := 1; i < len(lives); i++ {
			if v, bad := e.succession(lives[i-1], lives[i]); bad {
				found = append(found, v)
			}
		}
	}
	return found
}

// succession judges two pods that had one address, the first of them first.
func (e evidence) succession(first, next Life) (Violation, bool) {
	v := Violation{Pod: next.Name, Address: next.Address, At: e.clock.NotBefore(next.From), Taken: e.taken(first, next)}
	given, known := e.clock.NotAfter(next.From)
	if first.certain(next.From) {
		v.Kind = HeldTwice
		v.Text = fmt.Sprintf("%s on %s got %s, which %s on %s had", next.Name, next.Node, next.Address, first.Name, first.Node)
		v.Thawed = e.thawedBefore(v.At, given) && e.parted(first, next)
		return v, true
	}
	// At least one revision lies between the last sign of life and the end.
	rest := given.Sub(e.clock.NotBefore(first.Alive + 1))
	if !known || rest >= cooldown {
		return v, false
	}
	v.Kind = ReusedEarly
	v.Text = fmt.Sprintf("%s on %s got %s at most %s after the end of %s on %s",
		next.Name, next.Node, next.Address, rest.Round(time.Millisecond), first.Name, first.Node)
	v.Thawed = e.thawedBefore(v.At, given)
	return v, true
}

// unnoticed is how long a change by others may go unseen: until the next look at the subnet.
const unnoticed = 75 * time.Second

// taken says that others took the address of the first of two pods from its interface, or
// had taken it a moment before the pod got it, so that it could come to that of the next; or back to its own by whoever led since then, who
// cannot know of the first pod if that has ended, nor of the address before the interface
// has been read.
func (e evidence) taken(first, next Life) bool {
	had, has := e.eni(first), e.eni(next)
	from, to := e.clock.NotBefore(first.From).Add(-unnoticed), e.clock.NotBefore(next.From)
	return slices.ContainsFunc(e.changes, func(c ec2sim.Change) bool {
		took := byOthers(c) && !c.Assigned && c.ENI == had && c.Range.Contains(first.Address) && c.Time.After(from) && c.Time.Before(to)
		return took && (had != has || first.Ended > 0 && e.ledSince(to).Add(takeover).After(c.Time))
	})
}

// parted says that of two pods with one address one has ended, or that there is
// time yet.
func (e evidence) parted(first, next Life) bool {
	return first.Ended > 0 || next.Ended > 0 || e.now.Before(e.clock.NotBefore(next.From).Add(healing))
}

// thawedBefore says that a leader had thawed shortly before a time that lies
// between two others.
func (e evidence) thawedBefore(from, to time.Time) bool {
	return slices.ContainsFunc(e.notes, func(n Note) bool {
		return n.Thaw && !n.At.After(to) && from.Before(n.At.Add(thawed))
	})
}

// disturbed says that others have meddled with the Nodes of an interface between two
// times.
func (e evidence) disturbed(eni string, from, to time.Time) bool {
	return slices.ContainsFunc(e.notes, func(n Note) bool {
		return n.Node != "" && n.At.After(from) && n.At.Before(to) && e.cluster.interfaceOf(n.Node, n.At) == eni
	})
}

// eni is the interface that the node of a pod had when the pod came to it, or else when it
// got its address: it may have come before its node.
func (e evidence) eni(l Life) string {
	return e.cluster.interfaceOf(l.Node, e.clock.NotBefore(max(l.Bound, l.From)))
}
