package history

import "time"

// group is a kind of trouble. A history has about half of them.
type group string

const (
	replicas   group = "replicas"
	apiServer  group = "API server"
	watches    group = "watches"
	ec2Faults  group = "EC2 faults"
	refusals   group = "lasting refusals"
	others     group = "other clients on the interfaces"
	neighbours group = "other clients in the subnets"
	switches   group = "settings"
	nodes      group = "nodes"
	kubelets   group = "kubelets"
	objects    group = "objects"
	schedulers group = "schedulers"
	// What kinds of pods there are; see pods.go.
	priorities group = "priorities"
	agents     group = "agents of DaemonSets"
	strangers  group = "pods bound past the extender"
)

var groups = []group{
	replicas, apiServer, watches, ec2Faults, refusals, others, neighbours, switches, nodes, kubelets, objects, schedulers,
	priorities, agents, strangers,
}

// table is everything that can go wrong: of which group it is, how often it comes in an
// hour of a history that has the group, and what it is. Durations are drawn anew each
// time.
var table = []struct {
	group   group
	perHour float64
	make    func(m *maker) Step
}{
	{replicas, 16, func(m *maker) Step { return m.replica(Crash, m.exp(15*time.Second)) }},
	{replicas, 12, func(m *maker) Step { return m.replica(Freeze, m.between(time.Second, 40*time.Second)) }},
	{replicas, 8, func(m *maker) Step { return m.replica(Stop, m.exp(5*time.Second)) }},
	{replicas, 4, func(m *maker) Step { return m.replica(Partition, m.exp(20*time.Second)) }},

	{apiServer, 4, func(m *maker) Step { return Step{Act: APIDown, For: m.exp(15 * time.Second)} }},
	{apiServer, 4, func(m *maker) Step { return Step{Act: APIFreeze, For: m.exp(10 * time.Second)} }},
	{apiServer, 6, func(m *maker) Step {
		return Step{Act: APISlow, Delay: m.exp(time.Second), For: m.exp(40 * time.Second)}
	}},
	{apiServer, 10, func(m *maker) Step {
		return Step{Act: APILoses, Chance: m.chance(), For: m.exp(20 * time.Second)}
	}},
	{apiServer, 6, func(m *maker) Step {
		return Step{Act: APILate, Chance: m.chance(), For: m.exp(20 * time.Second)}
	}},
	{apiServer, 6, func(m *maker) Step {
		return Step{Act: APIBusy, Chance: m.chance(), For: m.exp(20 * time.Second)}
	}},

	{watches, 20, func(*maker) Step { return Step{Act: WatchCut} }},
	{watches, 10, func(m *maker) Step {
		return Step{Act: WatchCut, Chance: m.chance() / 10, For: m.exp(time.Minute)}
	}},
	{watches, 10, func(m *maker) Step {
		return Step{Act: WatchLag, Delay: m.exp(3 * time.Second), For: m.exp(time.Minute)}
	}},

	{ec2Faults, 16, func(m *maker) Step { return m.fault("refuse", m.of(fleetingCodes), 0) }},
	{ec2Faults, 12, func(m *maker) Step { return m.fault("refuse-done", "InternalError", 0) }},
	{ec2Faults, 12, func(m *maker) Step { return m.fault("drop-before", "", 0) }},
	{ec2Faults, 20, func(m *maker) Step { return m.fault("drop-after", "", 0) }},
	{ec2Faults, 12, func(m *maker) Step { return m.fault("throttle", "", 0) }},
	{ec2Faults, 8, func(m *maker) Step { return m.fault("delay-before", "", 20*time.Second) }},
	{ec2Faults, 8, func(m *maker) Step { return m.fault("delay-after", "", 20*time.Second) }},
	{ec2Faults, 16, func(m *maker) Step {
		return Step{Act: EC2Lag, Delay: m.between(time.Second, 5*time.Second), For: m.exp(30 * time.Second)}
	}},
	{ec2Faults, 4, func(m *maker) Step { return Step{Act: EC2Rates, For: m.exp(30 * time.Second)} }},

	{refusals, 20, func(m *maker) Step { return m.refusal() }},

	{others, 40, func(m *maker) Step { return m.onENI(OthersUnassign, 0) }},
	{others, 15, func(m *maker) Step { return m.onENI(OthersTake, m.between(20*time.Second, time.Minute)) }},
	{others, 25, func(m *maker) Step { return m.onENI(OthersAssign, 0) }},

	{neighbours, 60, func(m *maker) Step {
		return Step{Act: OthersOccupy, On: m.anySubnet(), Count: 1 + m.r.IntN(60), Draw: m.r.Uint64(), For: m.exp(time.Minute)}
	}},

	{switches, 25, func(m *maker) Step { return Step{Act: Set, Settings: new(m.settings())} }},
	{switches, 3, func(m *maker) Step { return Step{Act: OtherAllocator, For: m.exp(30 * time.Second)} }},

	{nodes, 6, func(m *maker) Step { return Step{Act: Leave, On: m.anyNode(), For: m.exp(20 * time.Second)} }},
	{nodes, 6, func(m *maker) Step { return Step{Act: Join, Node: new(m.node(m.anyNode()))} }},
	{nodes, 4, func(m *maker) Step { return m.onNode(Reregister, 20*time.Second) }},
	{nodes, 10, func(m *maker) Step { return m.onNode(Twin, 20*time.Second) }},
	{nodes, 4, func(m *maker) Step { return m.onNode(Unlabel, 20*time.Second) }},
	{nodes, 6, func(m *maker) Step { return m.onNode(Unready, 30*time.Second) }},

	{kubelets, 40, func(m *maker) Step { return Step{Act: KubeletRestart, On: m.anyNode()} }},
	{kubelets, 4, func(*maker) Step { return Step{Act: KubeletRestart} }},

	{objects, 20, func(m *maker) Step { return Step{Act: SlotsDelete, On: m.anyNode()} }},
	{objects, 20, func(m *maker) Step { return Step{Act: SlotsChange, On: m.anyNode()} }},
	{objects, 20, func(m *maker) Step { return Step{Act: CapacityZero, On: m.anyNode()} }},
	{objects, 10, func(m *maker) Step { return Step{Act: MarksRemove, On: m.anyNode()} }},

	{schedulers, 8, func(*maker) Step { return Step{Act: SchedulerRestart} }},
}

// fleetingCodes are errors of EC2 that pass, and lastingCodes what it answers for a long
// time: that it may not be done, that there is no place, something that nobody knows, that
// too much is asked, and that it errs.
var (
	fleetingCodes = []string{"InternalError", "Unavailable"}
	lastingCodes  = []string{
		"UnauthorizedOperation", "PrivateIpAddressLimitExceeded", "SomethingThatNobodyKnows", "RequestLimitExceeded", "InternalError",
	}
)

// actions are those that faults strike; empty: all.
var actions = []string{"", "AssignPrivateIpAddresses", "AssignPrivateIpAddresses", "UnassignPrivateIpAddresses", "DescribeNetworkInterfaces"}

// troubles has things go wrong, each as often as the table says.
func (m *maker) troubles() {
	for _, t := range table {
		if !m.has(t.group) {
			continue
		}
		pause := time.Duration(float64(time.Hour) / (t.perHour * m.groups[t.group]))
		for at := m.exp(pause); at < m.h.Trouble; at += max(m.exp(pause), Duration(time.Second)) {
			s := t.make(m)
			s.At = at
			m.add(s)
		}
	}
}

// chance is a share of requests: from a few to all.
func (m *maker) chance() float64 { return float64(1+m.r.IntN(20)) / 20 }

// replica is something that happens to the leader, or to a standby. Half of the time it
// happens at once, else between two of the effects to come.
func (m *maker) replica(a Act, d Duration) Step {
	s := Step{Act: a, On: Leader, For: d, Draw: m.r.Uint64()}
	if m.oneOf(5) {
		s.On = Standby
	}
	if m.oneOf(2) && (a == Crash || a == Freeze) {
		s.Count = 1 + m.r.IntN(8)
	}
	return s
}

func (m *maker) fault(kind, code string, most time.Duration) Step {
	s := Step{Act: EC2Fault, Fault: kind, Code: code, Action: m.of(actions), Chance: m.chance(), For: m.exp(12 * time.Second)}
	if most > 0 {
		s.Delay = m.between(time.Second, most)
	}
	return s
}

// refusal is of one interface, or of those of a subnet; to assigns, or to all changes.
func (m *maker) refusal() Step {
	s := Step{Act: EC2Refuses, On: m.anyNode(), Code: m.of(lastingCodes), Action: "AssignPrivateIpAddresses", For: m.between(20*time.Second, 3*time.Minute)}
	if m.oneOf(5) {
		s.On = m.anySubnet()
	}
	if m.oneOf(2) {
		s.Action = ""
	}
	return s
}

func (m *maker) onENI(a Act, d Duration) Step {
	return Step{Act: a, On: m.anyNode(), Draw: m.r.Uint64(), For: d}
}

func (m *maker) onNode(a Act, d time.Duration) Step {
	return Step{Act: a, On: m.anyNode(), For: m.exp(d)}
}
