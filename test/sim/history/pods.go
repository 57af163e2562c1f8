package history

import (
	"fmt"
	"time"
)

const (
	// lifetime is how long pods live on average, and tide how long the number of pods
	// that are to be there stays the same.
	lifetime = 4 * time.Minute
	tide     = 3 * time.Minute
	// most is how many pods there are to be at the most.
	most = 48
	// wave is between two waves of pods with a priority, and rollOut between two
	// replacements of the agent of a node.
	wave    = 2 * time.Minute
	rollOut = 40 * time.Second
)

// Priorities of pods. Those of agents have the one of system-node-critical.
const (
	middle   = 100
	high     = 1000
	critical = 2_000_001_000
)

// population has pods come and go: about as many as there is room for, often more, one by
// one and in bursts.
func (m *maker) population() {
	living, wanted := []Duration{}, 0 // when each of them goes
	change := Duration(0)
	for at := m.between(0, settling); at < m.h.Trouble; at += m.exp(time.Second) {
		if at >= change {
			wanted = min(most, m.room()*(20+m.r.IntN(110))/100)
			change = at + m.exp(tide)
		}
		kept := living[:0]
		for _, end := range living {
			if end > at {
				kept = append(kept, end)
			}
		}
		living = kept
		missing := wanted - len(living)
		switch {
		case missing <= 0:
		case m.oneOf(8):
			living = append(living, m.come(at, min(missing, 2+m.r.IntN(25)))...)
		default:
			living = append(living, m.come(at, 1)...)
		}
	}
	if m.has(priorities) {
		m.waves()
	}
	if m.has(agents) {
		for _, n := range m.h.Cluster.Nodes {
			m.rollOuts(n.Name)
		}
	}
}

// room is about how many pods there is room for: what nodes have slots for, half of the
// time with prefixes.
func (m *maker) room() (n int) {
	per := 1
	if m.oneOf(2) {
		per = 8
	}
	for _, node := range m.h.Cluster.Nodes {
		n += min(node.Pods, per*slots[node.Type])
	}
	return n
}

// slots are those of the instance types, by EC2's documentation.
var slots = map[string]int{"t3.small": 3, "t3.medium": 5, "c5.large": 9, "t3.large": 11, "m4.large": 9}

// come has some pods come that are alike, and go one by one.
func (m *maker) come(at Duration, count int) (ends []Duration) {
	p := m.pod()
	m.add(Step{At: at, Act: Create, Pod: &p, Count: count})
	for i := range count {
		end := at + m.exp(lifetime)
		ends = append(ends, end)
		name := p.Name
		if count > 1 {
			name = fmt.Sprintf("%s-%d", p.Name, i)
		}
		if p.Runs == 0 {
			m.end(name, end)
		}
	}
	return ends
}

// end has a pod go, in one of the ways that there are.
func (m *maker) end(name string, at Duration) {
	if at >= m.h.Trouble {
		return
	}
	switch m.r.IntN(12) {
	case 0, 1, 2, 3, 4:
		m.add(Step{At: at, Act: Delete, On: name})
	case 5, 6, 7:
		m.add(Step{At: at, Act: Force, On: name})
	case 8:
		m.add(Step{At: at, Act: Phase, On: name})
	default: // to come back under the same name, as of a StatefulSet
		next := m.pod()
		next.Name = name
		s := Step{At: at, Act: Replace, On: name, Pod: &next}
		if m.oneOf(2) {
			s.For = m.exp(2 * time.Second)
		}
		m.add(s)
		m.end(name, at+m.exp(lifetime))
	}
}

// pod draws one of the kinds of pods that there are.
func (m *maker) pod() Pod {
	m.made++
	p := Pod{Name: fmt.Sprintf("pod-%d", m.made)}
	switch m.r.IntN(10) {
	case 0, 1:
		p.Subnet = m.anySubnet()
	case 2:
		p.Only = m.anyNode()
	case 3, 4:
		p.Runs = m.exp(20 * time.Second) // of a job
	}
	if m.has(strangers) {
		switch m.r.IntN(12) {
		case 0, 1:
			p.Plain = true
		case 2:
			p.Bound = m.anyNode()
		case 3:
			p.Bound, p.Quiet = m.anyNode(), true
		}
	}
	if m.has(priorities) && m.oneOf(10) {
		p.Priority = []int{middle, high}[m.r.IntN(2)]
	}
	if p.Bound != "" {
		p.Only, p.Subnet = "", ""
	}
	p.Protected = m.oneOf(6)
	if m.oneOf(3) {
		p.Stops = m.exp(4 * time.Second)
	}
	if m.oneOf(4) {
		p.Starts = m.exp(2 * time.Second)
	}
	return p
}

// waves has pods with a priority come, some a node, one shortly after the other. Between
// waves there is time for what they had to cool down and to go to others again: of pods
// that come one by one each gets what another one had, and nobody has to go.
func (m *maker) waves() {
	for at := m.exp(wave); at < m.h.Trouble; at += m.exp(wave) {
		begin := at
		for range 1 + m.r.IntN(2*len(m.h.Cluster.Nodes)) {
			p := m.pod()
			p.Name = "urgent-" + p.Name
			p.Priority, p.Bound, p.Quiet, p.Runs = middle, "", false, 0
			if m.oneOf(3) {
				p.Priority = high
			}
			m.add(Step{At: begin, Act: Create, Pod: &p})
			if end := begin + m.exp(40*time.Second); end < m.h.Trouble {
				m.add(Step{At: end, Act: Force, On: p.Name})
			}
			begin = min(begin+m.exp(300*time.Millisecond), m.h.Trouble)
		}
	}
}

// rollOuts replaces the agent on a node again and again, as the controller of a DaemonSet
// does: the new one is made once the old one has gone.
func (m *maker) rollOuts(node string) {
	p := Pod{Name: "agent-" + node, Only: node, Priority: critical}
	if m.oneOf(2) {
		p.Stops = m.exp(3 * time.Second)
	}
	at := m.between(0, settling)
	m.add(Step{At: at, Act: Create, Pod: &p})
	for at += m.exp(rollOut); at < m.h.Trouble; at += m.exp(rollOut) {
		m.add(Step{At: at, Act: RollOut, On: p.Name, Pod: &p})
	}
}
