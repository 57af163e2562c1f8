package witness

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	// beside is how close together two pods are bound of which neither binding could
	// know of the other. The API server's revisions tell their times to about 0.2 s.
	beside = time.Second
	// repair is how long Slotwise and the kubelet may take until a capacity that
	// somebody else has set is right again.
	repair = 10 * time.Second
	// kubeletLag is how far behind its watch of its Node a kubelet may be when it admits a
	// pod. README.md of allocator says so.
	kubeletLag = 2 * time.Second
	// takeover is how long it may take until somebody leads again after a leader came to
	// harm: a lease, a try for it, and the reading of the state.
	takeover = 30 * time.Second
	// firstPause and lastPause are what a watch that was cut waits for until it is tried
	// again: the first time, and at the most after it has doubled (client-go 0.37.2,
	// tools/cache/reflector.go, defaultBackoffInit and defaultBackoffMax).
	firstPause = 800 * time.Millisecond
	lastPause  = 30 * time.Second
)

// rejected finds pods that were bound through the extender and did not fit to their
// kubelet for want of addresses. Of a pod that somebody else has bound that is no wonder;
// nor is it where a kubelet still counts ended pods against max-pods, which kube-scheduler
// does not.
func (e evidence) rejected() (found []Violation) {
	for _, l := range e.pods {
		if l.Rejected == "" || strings.HasPrefix(l.Rejected, "OutOfpods:") || l.Scheduler != e.cluster.scheduler || e.outrun(l) {
			continue
		}
		found = append(found, Violation{
			Kind: Rejected, Pod: l.Name, At: e.clock.NotBefore(l.Alive + 1), Address: l.Address, ENI: e.eni(l),
			Text: fmt.Sprintf("the kubelet of %s rejected %s, %s", l.Node, l.Name, l.Rejected),
		})
	}
	return found
}

// repairing is since when what others have changed may not be right again at a time: longer
// ago the longer Slotwise was hindered or off, or nobody led.
func (e evidence) repairing(at time.Time) time.Time {
	since := at.Add(-repair)
	for i, n := range slices.Backward(e.notes) {
		from, end := n.At.Add(-n.Vacant), e.hindered(i, at)
		if from.Before(at) && end.After(since) && from.Add(-repair).Before(since) {
			since = from.Add(-repair)
		}
	}
	return since
}

// hindered is until when, as seen at a time, Slotwise puts nothing right after a note, by its
// index: as long as it is kept from it, has nobody who leads, or is off.
func (e evidence) hindered(note int, at time.Time) time.Time {
	n := e.notes[note]
	switch {
	case n.Off != nil && *n.Off:
		for _, later := range e.notes[note+1:] {
			if later.Off != nil && !*later.Off {
				return later.At
			}
		}
		return at
	case n.Harm:
		return n.At.Add(takeover)
	}
	return n.At.Add(n.Hinders)
}

// lagged says that a kubelet may have been further behind than a pod can be bound for,
// when one was bound and admitted: all that makes watches lag adds up, and a watch that was
// cut shows nothing until it is there again.
func (e evidence) lagged(bound, admitted time.Time) bool {
	return e.behind(bound, admitted) > kubeletLag || e.cutOff(bound, admitted)
}

// cutOff says that a kubelet may not have had its watch of its Node back between two times.
// Nothing shows that to anybody else, and the watch of its pods may come back before: so no
// more is promised than for a kubelet whose watches stand.
func (e evidence) cutOff(from, to time.Time) bool {
	return slices.ContainsFunc(e.notes, func(n Note) bool {
		back := e.comesBack(n)
		return n.Cuts && n.At.Before(to) && back.After(from) && back.Sub(n.At) > kubeletLag
	})
}

// comesBack is when a watch that a note says was cut is there again at the latest: it is
// tried until nothing is in the way, and what it waits between two attempts has doubled
// with each.
func (e evidence) comesBack(cut Note) time.Time {
	end := cut.At.Add(cut.Hinders)
	pause := func() time.Duration { return min(lastPause, end.Sub(cut.At)+firstPause) }
	for _, n := range e.notes {
		if over := n.At.Add(n.Hinders); n.Hinders > 0 && over.After(end) && n.At.Before(end.Add(pause())) {
			end = over
		}
	}
	return end.Add(pause())
}

// behind is how far behind watches may have been between two times.
func (e evidence) behind(from, to time.Time) (lag time.Duration) {
	for _, n := range e.notes {
		if n.At.Before(to) && n.At.Add(n.Hinders+n.Lag).After(from) {
			lag += n.Lag
		}
	}
	return lag
}

// outrun says that a rejected pod met what its binding could not know: another pod that
// came to the node past the extender within the same moment, or a capacity that somebody
// else had just set to 0.
func (e evidence) outrun(rejected Life) bool {
	at := e.clock.NotBefore(rejected.Alive + 1)
	bound := e.clock.NotBefore(rejected.Bound)
	if e.disturbed(e.eni(rejected), e.repairing(at), at.Add(beside)) || e.lagged(bound, at) {
		return true
	}
	from := e.unheard(bound).Add(-beside)
	return slices.ContainsFunc(e.pods, func(l Life) bool {
		if l.Node != rejected.Node || l.Bound == 0 || l.Scheduler == e.cluster.scheduler {
			return false
		}
		other := e.clock.NotBefore(l.Bound)
		return !other.Before(from) && other.Sub(bound) <= beside
	})
}

// unheard is since when whoever bound a pod at a time may have heard of nothing.
func (e evidence) unheard(bound time.Time) time.Time {
	since := bound
	for _, n := range e.notes {
		if n.Hinders > 0 && n.At.Before(since) && n.At.Add(n.Hinders+beside).After(bound) {
			since = n.At
		}
	}
	return since
}
