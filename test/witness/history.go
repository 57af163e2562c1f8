package witness

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/test/ec2sim"
)

// around is how much of what concerns an interface is told before and after a
// violation.
const around = 45 * time.Second

// line is one thing that happened.
type line struct {
	at   time.Time
	text string
}

// History tells what is known around a violation: who held the address when,
// what EC2 assigned and unassigned, the calls about the interface, and what was
// done to the system. Times are since the given one.
func (w *Witness) History(v Violation, since time.Time) string {
	e := w.evidence()
	var lines []line
	if v.Address.IsValid() {
		lines = slices.Concat(e.holders(v), e.moves(v), e.askedByName(v))
	}
	if v.Kind == Needless {
		lines = append(lines, e.comings(v)...)
	}
	lines = append(lines, e.callsAround(v)...)
	lines = append(lines, e.named(v)...)
	for _, n := range e.notes {
		if near(n.At, v.At) {
			lines = append(lines, line{n.At, n.Text})
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return a.at.Compare(b.at) })
	var out strings.Builder
	fmt.Fprintf(&out, "%s: %s\n", v.Kind, v.Text)
	for _, l := range lines {
		fmt.Fprintf(&out, "  %9.3fs  %s\n", l.at.Sub(since).Seconds(), l.text)
	}
	return out.String()
}

func near(t, v time.Time) bool { return t.After(v.Add(-around)) && t.Before(v.Add(around)) }

// holders tells of the pods that had the address, whenever that was.
func (e evidence) holders(v Violation) (lines []line) {
	for _, l := range e.pods {
		if l.Address != v.Address {
			continue
		}
		lines = append(lines, line{e.clock.NotBefore(l.From),
			fmt.Sprintf("%s (%s) on %s has %s, at revision %d", l.Name, l.Scheduler, l.Node, l.Address, l.From)})
		if l.Ended > 0 {
			lines = append(lines, line{e.clock.NotBefore(l.Alive + 1),
				fmt.Sprintf("%s ends, at revision %d", l.Name, l.Ended)})
		}
	}
	return lines
}

// comings tells which pods came to the nodes of the interface, had to go and ended
// around a violation, and who waited.
func (e evidence) comings(v Violation) (lines []line) {
	tell := func(revision int64, l Life, what string) {
		if at := e.clock.NotBefore(revision); revision > 0 && near(at, v.At) {
			lines = append(lines, line{at, fmt.Sprintf("%s (priority %d, %s) %s, at revision %d", l.Name, l.Priority, l.Scheduler, what, revision)})
		}
	}
	for _, l := range e.pods {
		if l.Node != "" && e.eni(l) != v.ENI {
			continue
		}
		if l.Priority > 0 {
			tell(l.Created, l, "is created, for "+cmp.Or(l.Only, "any node"))
		}
		tell(l.Bound, l, fmt.Sprintf("is bound to %s with %s", l.Node, l.Address))
		tell(l.Marked, l, fmt.Sprintf("has to go for %s", e.nameOf(e.preemptors[l.UID])))
		tell(l.Ended, l, "has ended")
	}
	return lines
}

func (e evidence) nameOf(uid types.UID) string {
	for _, l := range e.pods {
		if l.UID == uid {
			return l.Name
		}
	}
	return "a pod that nobody knows"
}

// moves tells when the address came to an interface and left it.
func (e evidence) moves(v Violation) (lines []line) {
	for _, c := range e.changes {
		if !c.Range.Contains(v.Address) {
			continue
		}
		lines = append(lines, change(c))
	}
	return lines
}

func change(c ec2sim.Change) line {
	verb := "unassigned from"
	if c.Assigned {
		verb = "assigned to"
	}
	return line{c.Time, fmt.Sprintf("%s is %s %s, by call %d", c.Range, verb, c.ENI, c.Call)}
}

// askedByName tells of the calls that ask for the address by name, or for its block.
func (e evidence) askedByName(v Violation) (lines []line) {
	for _, c := range e.calls {
		named := slices.ContainsFunc(rangesOf(c), func(p netip.Prefix) bool { return p.Contains(v.Address) })
		if named && !near(c.Start, v.At) { // else it is told of anyway
			lines = append(lines, line{c.Start, fmt.Sprintf("%s: answer %q, done: %v", callText(c), c.Code, c.Applied)})
		}
	}
	return lines
}

// named tells what became of the ranges that a failed call names.
func (e evidence) named(v Violation) (lines []line) {
	if v.Kind != CallFailed {
		return nil
	}
	for _, call := range e.calls {
		if call.ENI != v.ENI || !call.Start.Equal(v.At) {
			continue
		}
		for _, c := range e.changes {
			if slices.ContainsFunc(rangesOf(call), c.Range.Overlaps) {
				lines = append(lines, change(c))
			}
		}
	}
	return lines
}

// callsAround tells of the calls about the interfaces concerned: those around the violation,
// and around the last time that its address left one.
func (e evidence) callsAround(v Violation) (lines []line) {
	left := v.At
	for _, c := range e.changes {
		if !c.Assigned && v.Address.IsValid() && c.Range.Contains(v.Address) && c.Time.Before(v.At) {
			left = c.Time
		}
	}
	concerned := map[string]bool{v.ENI: true}
	for _, l := range e.pods {
		if v.Address.IsValid() && l.Address == v.Address {
			concerned[e.eni(l)] = true
		}
	}
	for _, c := range e.calls {
		if c.ENI == "" || !concerned[c.ENI] || !near(c.Start, v.At) && !near(c.Start, left) {
			continue
		}
		text := callText(c)
		if c.Fault != "" {
			text += fmt.Sprintf(", struck by %s", c.Fault)
		}
		lines = append(lines, line{c.Start, text})
		if !c.End.IsZero() {
			lines = append(lines, line{c.End, fmt.Sprintf("call %d: answer %q, done: %v", c.Seq, c.Code, c.Applied)})
		}
	}
	return lines
}
