package history

import "time"

// endings are what can happen while all is at rest, and how often of a hundred endings.
var endings = []struct {
	share int
	make  func(m *maker) Step
}{
	{40, func(*maker) Step { return Step{Act: HalfGo} }},
	{15, func(m *maker) Step {
		return Step{Act: Create, Pod: &Pod{Name: "late", Stops: m.exp(time.Second)}, Count: 1 + m.r.IntN(2*m.room())}
	}},
	{15, func(m *maker) Step {
		return Step{Act: Set, Settings: &Settings{Prefixes: m.oneOf(2), WarmIP: m.r.IntN(6)}}
	}},
	{10, func(*maker) Step { return Step{Act: Crash, On: Leader} }},
	{5, func(*maker) Step { return Step{Act: Stop, On: Leader} }},
	{5, func(*maker) Step { return Step{Act: KubeletRestart} }},
	{4, func(m *maker) Step { return Step{Act: SlotsDelete, On: m.anyNode()} }},
	{3, func(m *maker) Step { return Step{Act: SlotsChange, On: m.anyNode()} }},
	{3, func(m *maker) Step { return Step{Act: CapacityZero, On: m.anyNode()} }},
}

// ending draws what happens once the trouble is over. At last all pods go.
func (m *maker) ending() {
	for range 1 + m.r.IntN(4) {
		at := m.r.IntN(100)
		for _, e := range endings {
			if at -= e.share; at < 0 {
				m.h.Ending = append(m.h.Ending, e.make(m))
				break
			}
		}
	}
	m.h.Ending = append(m.h.Ending, Step{Act: AllGo})
}
