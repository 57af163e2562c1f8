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

// A pod that preempts needs one address, and nothing else is scarce here, so it needs
// one victim at the most, and none where an address is on its way to it already. It
// may need more where what it was promised has been lost, see lost; nothing else is
// excused.

const (
	// cooled is how long ago at the most a pod ended whose address certainly still
	// cools, and heard how long ago at the least for everybody to have heard of its end.
	cooled = 25 * time.Second
	heard  = 5 * time.Second
	// news is how late Slotwise may hear of what others have written while all is well.
	news = 500 * time.Millisecond
	// granted is how long Slotwise counts on a victim that the scheduler does not delete.
	granted = 15 * time.Second
	// overtaken is why a place was lost to pods that came before, see claimed.
	overtaken = "others came before"
)

// victim says that a pod had to go for another one.
func (l Life) victim() bool { return l.Marked > 0 && (l.Leaving > 0 || l.Ended > 0) }

// victims lists those of each preemptor, in the order in which they were chosen.
func (e evidence) victims() map[types.UID][]Life {
	all := map[types.UID][]Life{}
	for _, l := range e.pods {
		if by, known := e.preemptors[l.UID]; known && l.victim() {
			all[by] = append(all[by], l)
		}
	}
	for _, each := range all {
		slices.SortFunc(each, func(a, b Life) int { return cmp.Compare(a.Marked, b.Marked) })
	}
	return all
}

// needless finds pods that were evicted for one that did not need it.
func (e evidence) needless() (found []Violation) {
	there := presencesOf(e.changes)
	victims := e.victims()
	for _, p := range e.pods {
		mine := victims[p.UID]
		for i, v := range mine {
			if e.crowded(v.Node, v.Marked) {
				continue
			}
			why := e.promised(p, mine[:i], v, there)
			if why == "" {
				why = e.cooling(p, mine[:i], v, there)
			}
			if why != "" {
				found = append(found, Violation{
					Kind: Needless, Pod: v.Name, At: e.clock.NotBefore(v.Marked), Address: v.Address, ENI: e.eni(v),
					Text: fmt.Sprintf("%s on %s had to go for %s (%s, priority %d), although %s", v.Name, v.Node, p.Name, p.Scheduler, p.Priority, why),
				})
			}
		}
	}
	return found
}

// crowded says that the kubelet of a node takes no more pods, or would not once all come
// that are nominated somewhere: then somebody has to go whatever addresses there are.
func (e evidence) crowded(node string, revision int64) bool {
	most, known := e.cluster.mostPods(node, e.clock.NotBefore(revision))
	if !known {
		return false
	}
	there := 0
	soon := e.clock.NotBefore(revision).Add(heard) // what is bound by then the scheduler may have assumed there already
	for _, l := range e.pods {
		if l.Created > revision || e.knownToHaveEnded(l, revision) {
			continue
		}
		bound := l.Bound > 0 && (l.Bound <= revision || e.clock.NotBefore(l.Bound).Before(soon))
		if bound && l.Node == node || !bound && l.Nominated {
			there++
		}
	}
	return there >= most
}

// promised says which of the earlier victims of a pod will still serve it when the next
// one is chosen; empty: none. A pod that came before takes the place of one victim only:
// so there have to be as many as there are victims from each one on.
func (e evidence) promised(p Life, earlier []Life, next Life, there presences) string {
	taken := map[string]int{} // places that others took, by node
	for _, v := range slices.Backward(earlier) {
		switch e.lost(p, v, taken[v.Node]+1, next, there) {
		case "":
			return fmt.Sprintf("%s on %s had gone for it %s before", v.Name, v.Node,
				since(e.clock.NotBefore(v.Marked), e.clock.NotBefore(next.Marked)))
		case overtaken:
			taken[v.Node]++
		}
	}
	return ""
}

// lost says why the place of an earlier victim served its preemptor no longer when the
// next one was chosen, where the places of n victims from this one on had to be taken by
// others; empty where it did.
func (e evidence) lost(p, v Life, n int, next Life, there presences) string {
	from := e.clock.NotBefore(v.Marked)
	to, known := e.clock.NotAfter(next.Marked)
	eni := e.eni(v)
	switch {
	case !known:
		return "nobody knows when the next was chosen"
	case !from.Before(e.asked(next.Marked)) && e.asked(next.Marked).Before(e.clock.NotBefore(next.Marked)):
		return "the next may have been chosen first, and marked late"
	case (v.Leaving == 0 || v.Leaving > next.Marked) && !to.Before(e.asked(v.Marked).Add(granted)):
		return "it was not deleted in time"
	case !e.useful(there, eni, v.Address, e.clock.NotBefore(next.Marked), to):
		return "it had no address, or that has left the interface or is of the other mode"
	case e.lifted(eni, v.Address, from, to):
		return "others have taken its address for a while"
	case e.ledSince(to).After(from):
		return "whoever promised it may have gone, and what it knew with it"
	case e.disturbed(eni, from.Add(-disturbance), to):
		return "others have meddled with the node"
	case e.closed(v.Node, from, to):
		return "its node took no pods for a while"
	case e.before(p, v, next.Marked, there) >= n:
		return overtaken
	}
	return ""
}

// asked is since when a write may have been asked for that was done at a revision: an API
// server that is slow does it up to a minute after it told the client of a timeout. A
// scheduler marks its victims so, and Slotwise chooses others for the pod meanwhile.
func (e evidence) asked(revision int64) time.Time {
	at := e.clock.NotBefore(revision)
	since := at
	for _, n := range e.notes {
		if n.Late > 0 && n.At.Before(since) && n.At.Add(n.Hinders+n.Late).After(at) {
			since = n.At
		}
	}
	return since
}

// spared counts the victims that came after others of their preemptors and that are
// excused, by the reason.
func (e evidence) spared() map[string]int {
	there, victims, counts := presencesOf(e.changes), e.victims(), map[string]int{}
	for _, p := range e.pods {
		mine := victims[p.UID]
		for i := 1; i < len(mine); i++ {
			if e.promised(p, mine[:i], mine[i], there) == "" {
				counts[e.lost(p, mine[i-1], 1, mine[i], there)]++
			}
		}
	}
	return counts
}

// disturbance is for how long what is meddled with may have a consequence: a second
// Node of the instance stays for half a minute.
const disturbance = 40 * time.Second

// before counts the pods that have the first claim to what comes free on the node of a
// victim, at a revision: those without an address there, which somebody bound past the
// extender, or which have got the very address of the victim by now, those whose address
// others have taken, those that came since and those that wait for what comes there before
// the preemptor does.
func (e evidence) before(p, v Life, revision int64, there presences) (n int) {
	for _, l := range e.pods {
		here := l.Node == v.Node && l.Bound > 0
		bound := here && l.Bound <= revision
		switch {
		case l.UID == p.UID:
		case bound && (l.From == 0 || l.From > revision): // it waits
			if !e.knownToHaveEnded(l, revision) {
				n++
			}
		case bound && l.Bare > 0 && l.From > v.Marked && l.Address == v.Address:
			n++
		case here && e.came(l, p, v, revision), bound && e.robbed(l, e.clock.NotBefore(v.Marked), revision), e.bereft(l, p, v, revision, there):
			n++
		}
	}
	return n
}

// came says that a pod came to the node of a victim after that was chosen and before a
// revision, in the place of its preemptor. Of one that is bound past the extender Slotwise
// hears a moment late, so it may have been bound just before. One of the extender has its
// address before it is seen to be bound, while the API server is asked to bind it; the place
// is kept only from those of a lower priority.
func (e evidence) came(l, p, v Life, revision int64) bool {
	bound, chosen := e.clock.NotBefore(l.Bound), e.clock.NotBefore(v.Marked)
	if l.Scheduler != e.cluster.scheduler {
		return l.Bound <= revision && bound.After(chosen.Add(-news-e.behind(chosen, chosen)))
	}
	return l.Priority >= p.Priority && l.Bound > v.Marked && l.Created <= revision &&
		(l.Bound <= revision || bound.Before(e.written(e.clock.NotBefore(revision))))
}

// written is by when a Binding is written that the API server was being asked for at a time.
func (e evidence) written(at time.Time) time.Time {
	by := at.Add(heard)
	for _, n := range e.notes {
		if end := n.At.Add(n.Hinders + n.Late); n.Hinders > 0 && n.At.Before(at) && end.After(by) {
			by = end
		}
	}
	return by
}

// bereft says that a pod waits at a revision for which another one had gone on the node of a
// victim, no later than that, whose address has left. What comes there is given to those
// that wait by their priority, and then in the order in which they were promised something:
// so it takes the place of the victim, unless its preemptor is more important.
func (e evidence) bereft(l, p, v Life, revision int64, there presences) bool {
	waits := l.Created <= revision && (l.Bound == 0 || l.Bound > revision) && (l.Ended == 0 || l.Ended > revision)
	if !waits || l.Priority < p.Priority {
		return false
	}
	at := e.clock.NotBefore(revision)
	return slices.ContainsFunc(e.pods, func(x Life) bool {
		mine := e.preemptors[x.UID] == l.UID && x.victim() && x.Node == v.Node && x.Marked <= v.Marked
		return mine && !e.useful(there, e.eni(x), x.Address, at, at)
	})
}

// closed says that a Node took no pods at some moment between two times: what comes free
// there is of no use meanwhile to the pod that waits for it, and is not kept for it forever.
func (e evidence) closed(node string, from, to time.Time) bool {
	closed := false
	for _, n := range e.notes {
		if n.Tainted == node && !n.At.After(to) && (n.Taint || !n.At.After(from)) {
			closed = n.Taint
		}
	}
	return closed
}

// robbed says that others have taken the address of a live pod, so that it is to get that
// or another one back, and that Slotwise may have noticed it only since a time.
func (e evidence) robbed(l Life, since time.Time, revision int64) bool {
	if l.Ended > 0 && l.Ended <= revision {
		return false
	}
	from := e.clock.NotBefore(l.From)
	if noticed := since.Add(-unnoticed); noticed.After(from) {
		from = noticed
	}
	return e.lifted(e.eni(l), l.Address, from, e.clock.NotBefore(revision))
}

// lifted says that others have taken an address from an interface between two times, where
// it may be again since.
func (e evidence) lifted(eni string, a netip.Addr, from, to time.Time) bool {
	return slices.ContainsFunc(e.changes, func(c ec2sim.Change) bool {
		took := byOthers(c) && !c.Assigned && c.ENI == eni && c.Range.Contains(a)
		return took && c.Time.After(from) && c.Time.Before(to)
	})
}

// knownToHaveEnded says that a pod ended long enough before a revision for everybody to
// have heard of it, however far behind watches were.
func (e evidence) knownToHaveEnded(l Life, revision int64) bool {
	if l.Ended == 0 || l.Ended > revision {
		return false
	}
	ended, known := e.clock.NotAfter(l.Ended)
	at := e.clock.NotBefore(revision)
	return known && ended.Add(e.behind(ended, at)).Before(at.Add(-heard))
}

// cooling says that an address cooled on the node of a victim, when it was chosen, to
// which nobody had a better claim than its preemptor. Whoever asks no extender does not
// know of it. Where watches lag more than Slotwise counts on, it takes the scheduler for
// one that sees the address, and that has something else in mind with its victim.
func (e evidence) cooling(p Life, earlier []Life, v Life, there presences) string {
	at := e.clock.NotBefore(v.Marked)
	to, known := e.clock.NotAfter(v.Marked)
	if p.Scheduler != e.cluster.scheduler || !known || e.ledSince(to).After(at.Add(-cooled)) ||
		e.disturbed(e.eni(v), at.Add(-disturbance), to) || e.lagged(e.asked(v.Marked), to) {
		return ""
	}
	cools := 0
	for _, l := range e.pods {
		if slices.ContainsFunc(earlier, func(x Life) bool { return x.UID == l.UID }) || !e.rests(l, v, at) {
			continue
		}
		if e.useful(there, e.eni(v), l.Address, at, to) {
			cools++
		}
	}
	if claims := e.claims(p, v); cools > claims {
		return fmt.Sprintf("%d addresses cooled there, to which %d others had a claim", cools, claims)
	}
	return ""
}

// rests says that a pod has ended on the node of a victim a while before that was chosen,
// so that its address cools.
func (e evidence) rests(l, v Life, at time.Time) bool {
	if l.UID == v.UID || l.Node != v.Node || l.From == 0 || l.Ended == 0 || l.Ended >= v.Marked {
		return false
	}
	ended, known := e.clock.NotAfter(l.Ended)
	return known && e.clock.NotBefore(l.Alive+1).After(at.Add(-cooled)) && ended.Before(e.asked(v.Marked).Add(-heard)) && !e.heldAgain(l, v.Marked)
}

// heldAgain says that another pod has had the address of an ended one by a revision.
func (e evidence) heldAgain(l Life, revision int64) bool {
	return slices.ContainsFunc(e.pods, func(x Life) bool {
		return x.Address == l.Address && x.From > l.From && x.From <= revision
	})
}

// claims counts the pods that may have been promised what comes free on the node of a
// victim when it was chosen: all that wait and are not of a lower priority than its
// preemptor, and those that are bound and have no address.
func (e evidence) claims(p, v Life) (n int) {
	for _, l := range e.pods {
		if l.UID == p.UID || l.Created > v.Marked || e.knownToHaveEnded(l, v.Marked) {
			continue
		}
		unbound, gone := l.Bound == 0 || l.Bound > v.Marked, l.Ended > 0 && l.Ended <= v.Marked
		waits := unbound && !gone && l.Priority >= p.Priority && (l.Only == "" || l.Only == v.Node)
		bare := !unbound && l.Node == v.Node && (l.From == 0 || l.From > v.Marked || e.robbed(l, e.clock.NotBefore(v.Marked), v.Marked))
		if waits || bare {
			n++
		}
	}
	return n
}
