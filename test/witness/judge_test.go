package witness

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/test/ec2sim"
	"slotwise.dev/slotwise/test/revision"
)

// start is the time of revision 0 in the histories of these tests. Revision n is
// written at second n.
var start = time.Now()

func at(second float64) time.Time {
	return start.Add(time.Duration(second * float64(time.Second)))
}

func newClock() *revision.Clock {
	c := &revision.Clock{}
	wind(c)
	return c
}

// wind has a clock tick at each half second between the revisions 0 to 200: it knows of
// each other revision to the second.
func wind(c *revision.Clock) {
	for n := range 200 {
		t := float64(n) + 0.5
		c.Note(10*int64(n)+5, at(t), at(t+0.01))
	}
}

// second is the revision that was written then.
func second(n int64) int64 { return 10 * n }

// now is the revision that all is known as of.
var now = second(150)

const (
	eni      = "eni-1"
	otherENI = "eni-2"
)

var (
	address = netip.MustParseAddr("10.0.0.17")
	block   = netip.MustParsePrefix("10.0.0.16/28")
)

// twoNodes is a cluster of two nodes in one subnet, which take prefixes.
func twoNodes() cluster {
	c := newCluster("ours")
	c.settle("node-1", ec2sim.Interface{ID: eni, Subnet: "subnet", Type: "t3.small"}, at(0))
	c.settle("node-2", ec2sim.Interface{ID: otherENI, Subnet: "subnet", Type: "t3.small"}, at(0))
	return c
}

// life is a pod that our scheduler bound to the first node.
func life(name string, from, ended int64) Life {
	l := Life{UID: types.UID(name), Name: name, Scheduler: "ours", Node: "node-1", Address: address, Bound: second(from), From: second(from), Alive: now}
	if ended > 0 {
		l.Alive, l.Ended = second(ended)-1, second(ended)
	}
	return l
}

func (l Life) with(change func(*Life)) Life {
	change(&l)
	return l
}

// rejectedLife was bound at second 10, and its kubelet rejected it at second 20.
var rejectedLife = life("a", 10, 20).with(func(l *Life) { l.UID, l.Rejected = "a", "OutOfvpc.amazonaws.com/PrivateIPv4Address: full" })

// elsewhere is a pod that has the address on the second node.
func elsewhere(name string, from int64) Life {
	return life(name, from, 0).with(func(l *Life) { l.Node = "node-2" })
}

// pastExtender is a pod that somebody bound to the first node past the extender, and that has
// no address yet.
func pastExtender(name string, bound float64) Life {
	return Life{Name: name, Scheduler: "plain", Node: "node-1", Bound: int64(10 * bound), Bare: int64(10 * bound), Alive: now}
}

func assigned(eni string, r netip.Prefix, t float64, call int) ec2sim.Change {
	return ec2sim.Change{Time: at(t), Call: call, ENI: eni, Range: r, Assigned: true}
}

func unassigned(eni string, r netip.Prefix, t float64, call int) ec2sim.Change {
	return ec2sim.Change{Time: at(t), Call: call, ENI: eni, Range: r}
}

func TestJudge(t *testing.T) {
	there := []ec2sim.Change{assigned(eni, block, 1, 1)}
	single := netip.PrefixFrom(address, 32)
	refusal := ec2sim.Call{Seq: 9, Start: at(100), End: at(100.3), Action: "AssignPrivateIpAddresses", ENI: eni, Code: ec2sim.CodeLimitExceeded}
	noBlock := refusal
	noBlock.Code = ec2sim.CodeInsufficientBlocks
	named := refusal
	named.Code, named.Requested.Prefixes = ec2sim.CodeInvalidValue, []netip.Prefix{block}
	thaw := Note{At: at(19), Thaw: true}

	for name, test := range map[string]struct {
		pods    []Life
		changes []ec2sim.Change
		calls   []ec2sim.Call
		notes   []Note
		want    []Kind
		thawed  bool
		taken   bool
	}{
		"nothing": {},
		"one after the other": {
			pods: []Life{life("a", 10, 20), life("b", 52, 0)}, changes: there,
		},
		"I1: while the other lives": {
			pods: []Life{life("a", 10, 0), life("b", 20, 0)}, changes: there, want: []Kind{HeldTwice},
		},
		"I1: for a moment": {
			pods: []Life{life("a", 10, 21), life("b", 20, 0)}, changes: there, want: []Kind{HeldTwice},
		},
		"I1: by a thawed leader, and healed": {
			pods: []Life{life("a", 10, 0), life("b", 20, 30)}, changes: there, notes: []Note{thaw},
			want: []Kind{HeldTwice}, thawed: true,
		},
		"I1: by a thawed leader, and not healed": {
			pods: []Life{life("a", 10, 0), life("b", 20, 0)}, changes: there, notes: []Note{thaw},
			want: []Kind{HeldTwice},
		},
		"the end of the first was not seen": {
			pods: []Life{life("a", 10, 0).with(func(l *Life) { l.Alive, l.Ended = second(15), second(60) }), life("b", 50, 0)}, changes: there,
		},
		"I2: too soon": {
			pods: []Life{life("a", 10, 20), life("b", 48, 0)}, changes: there, want: []Kind{ReusedEarly},
		},
		"I2: too soon for certain, though the end was not seen": {
			pods: []Life{life("a", 10, 0).with(func(l *Life) { l.Alive, l.Ended = second(40), second(45) }), life("b", 50, 0)}, changes: there,
			want: []Kind{ReusedEarly},
		},
		"perhaps too soon": {
			pods: []Life{life("a", 10, 20), life("b", 50, 0)}, changes: there,
		},
		"I2: taken by others, and on another interface": {
			pods:    []Life{life("a", 10, 20), elsewhere("b", 40)},
			changes: append(slices.Clone(there), unassigned(eni, single, 15, 0), assigned(otherENI, single, 30, 2)),
			want:    []Kind{ReusedEarly}, taken: true,
		},
		"I1: taken by others, and on another interface": {
			pods:    []Life{life("a", 10, 0), elsewhere("b", 40)},
			changes: append(slices.Clone(there), unassigned(eni, single, 15, 0), assigned(otherENI, single, 30, 2)),
			want:    []Kind{HeldTwice}, taken: true,
		},
		"I2: unassigned by itself, and on another interface": {
			pods:    []Life{life("a", 10, 20), elsewhere("b", 40)},
			changes: append(slices.Clone(there), unassigned(eni, single, 25, 5), assigned(otherENI, single, 30, 2)),
			want:    []Kind{ReusedEarly},
		},
		"I2: taken by others, and brought back by another leader": {
			pods:    []Life{life("a", 10, 20), life("b", 40, 0)},
			changes: append(slices.Clone(there), unassigned(eni, single, 15, 0), assigned(eni, single, 30, 2)),
			notes:   []Note{{At: at(22), Harm: true}},
			want:    []Kind{ReusedEarly}, taken: true,
		},
		"I2: taken by others while another one led": {
			pods:    []Life{life("a", 10, 20), life("b", 40, 0)},
			changes: append(slices.Clone(there), unassigned(eni, single, 15, 0), assigned(eni, single, 30, 2)),
			notes:   []Note{{At: at(-20), Harm: true}},
			want:    []Kind{ReusedEarly},
		},
		"I2: taken by others before another one had read the interface": {
			pods:    []Life{life("a", 10, 20), life("b", 40, 0)},
			changes: append(slices.Clone(there), unassigned(eni, single, 15, 0), assigned(eni, single, 30, 2)),
			notes:   []Note{{At: at(12), Harm: true}},
			want:    []Kind{ReusedEarly}, taken: true,
		},
		"I2: taken by others, and on the same interface": {
			pods:    []Life{life("a", 10, 20), life("b", 40, 0)},
			changes: append(slices.Clone(there), unassigned(eni, single, 15, 0), assigned(eni, single, 30, 2)),
			want:    []Kind{ReusedEarly},
		},
		"I3: one slot too many": {
			calls: []ec2sim.Call{refusal}, want: []Kind{CallFailed},
		},
		"a fault": {
			calls: []ec2sim.Call{{Seq: 1, Start: at(5), End: at(6), ENI: eni, Code: "InternalError", Fault: ec2sim.Refuse}},
		},
		"throttled": {
			calls: []ec2sim.Call{{Seq: 1, Start: at(5), End: at(6), ENI: eni, Code: ec2sim.CodeThrottled}},
		},
		"an answer was lost before": {
			calls:   []ec2sim.Call{{Seq: 8, Start: at(90), End: at(91), ENI: eni, Fault: ec2sim.DropAfter, Applied: true}, refusal},
			changes: []ec2sim.Change{assigned(eni, block, 90.5, 8)},
		},
		"I3: an answer was lost on another interface": {
			calls:   []ec2sim.Call{{Seq: 8, Start: at(90), End: at(91), ENI: otherENI, Fault: ec2sim.DropAfter, Applied: true}, refusal},
			changes: []ec2sim.Change{assigned(otherENI, block, 90.5, 8)},
			want:    []Kind{CallFailed},
		},
		"another led before": {
			calls:   []ec2sim.Call{{Seq: 8, Start: at(90), End: at(91), ENI: eni, Applied: true}, refusal},
			changes: []ec2sim.Change{assigned(eni, block, 90.5, 8)},
			notes:   []Note{{At: at(95), Harm: true}},
		},
		"I3: it was its own change": {
			calls:   []ec2sim.Call{{Seq: 8, Start: at(90), End: at(91), ENI: eni, Applied: true}, refusal},
			changes: []ec2sim.Change{assigned(eni, block, 90.5, 8)},
			notes:   []Note{{At: at(80), Harm: true}},
			want:    []Kind{CallFailed},
		},
		"another took the lease while it was under way": {
			calls:   []ec2sim.Call{{Seq: 10, Start: at(100.2), End: at(100.25), ENI: eni, Applied: true}, refusal},
			changes: []ec2sim.Change{assigned(eni, block, 100.22, 10)},
			notes:   []Note{{At: at(100.1), Harm: true, Took: true}},
		},
		"I3: another had taken the lease before": {
			calls:   []ec2sim.Call{{Seq: 10, Start: at(100.2), End: at(100.25), ENI: eni, Applied: true}, refusal},
			changes: []ec2sim.Change{assigned(eni, block, 100.22, 10)},
			notes:   []Note{{At: at(99), Harm: true, Took: true}},
			want:    []Kind{CallFailed},
		},
		"I3: a replica crashed while it was under way": {
			calls:   []ec2sim.Call{{Seq: 10, Start: at(100.2), End: at(100.25), ENI: eni, Applied: true}, refusal},
			changes: []ec2sim.Change{assigned(eni, block, 100.22, 10)},
			notes:   []Note{{At: at(100.1), Harm: true}},
			want:    []Kind{CallFailed},
		},
		"what it asks for by name EC2 has just chosen for another interface": {
			calls:   []ec2sim.Call{{Seq: 8, Start: at(99.8), End: at(100.1), ENI: otherENI, Applied: true}, named},
			changes: []ec2sim.Change{assigned(otherENI, single, 99.9, 8)},
		},
		"I3: what it asks for by name it knew to be chosen": {
			calls:   []ec2sim.Call{{Seq: 8, Start: at(99), End: at(99.9), ENI: otherENI, Applied: true}, named},
			changes: []ec2sim.Change{assigned(otherENI, single, 99.5, 8)},
			want:    []Kind{CallFailed},
		},
		"I3: what it asks for by name another interface asked for by name": {
			calls: []ec2sim.Call{{
				Seq: 8, Start: at(99.8), End: at(100.1), ENI: otherENI, Applied: true,
				Requested: ec2sim.Request{Slots: ec2sim.Slots{Addresses: []netip.Addr{address}}},
			}, named},
			changes: []ec2sim.Change{assigned(otherENI, single, 99.9, 8)},
			want:    []Kind{CallFailed},
		},
		"others took the subnet's last block": {
			calls: []ec2sim.Call{noBlock}, changes: []ec2sim.Change{assigned(otherENI, block, 60, 0)},
		},
		"I3: others took it long ago": {
			calls: []ec2sim.Call{noBlock}, changes: []ec2sim.Change{assigned(otherENI, block, 10, 0)}, want: []Kind{CallFailed},
		},
		"others took it on an interface of their own": {
			calls: []ec2sim.Call{noBlock}, changes: []ec2sim.Change{assigned("eni-of-others", block, 60, 0)},
		},
		"others took it in another subnet": {
			calls: []ec2sim.Call{noBlock}, changes: []ec2sim.Change{assigned("eni-of-others", netip.MustParsePrefix("10.9.0.16/28"), 60, 0)},
			want: []Kind{CallFailed},
		},
		"another account uses the subnet": {
			calls: []ec2sim.Call{noBlock}, notes: []Note{{At: at(10), Hidden: "subnet", Users: 1}},
		},
		"I3: another account used it long ago": {
			calls: []ec2sim.Call{noBlock}, notes: []Note{{At: at(10), Hidden: "subnet", Users: 1}, {At: at(15), Hidden: "subnet", Users: -1}},
			want: []Kind{CallFailed},
		},
		"what it asks for by name is taken": {
			calls: []ec2sim.Call{named}, changes: []ec2sim.Change{assigned("eni-of-others", single, 60, 0)},
		},
		"I3: what it asks for by name is not taken": {
			calls: []ec2sim.Call{named}, changes: []ec2sim.Change{assigned("eni-of-others", netip.MustParsePrefix("10.0.0.80/28"), 60, 0)},
			want: []Kind{CallFailed},
		},
		"I4: bound bare": {
			pods: []Life{life("a", 10, 0).with(func(l *Life) { l.Bare = second(8) })}, changes: there, want: []Kind{BoundBare},
		},
		"bound bare by another scheduler": {
			pods: []Life{life("a", 10, 0).with(func(l *Life) { l.Bare, l.Scheduler = second(8), "plain" })}, changes: there,
		},
		"I5: unassigned while held": {
			pods: []Life{life("a", 10, 0)}, changes: append(slices.Clone(there), unassigned(eni, block, 50, 2)), want: []Kind{NotOnENI},
		},
		"I5: unassigned for a moment": {
			pods:    []Life{life("a", 10, 0)},
			changes: append(slices.Clone(there), unassigned(eni, block, 50, 2), assigned(eni, single, 51, 3)),
			want:    []Kind{NotOnENI},
		},
		"unassigned by others while held": {
			pods: []Life{life("a", 10, 0)}, changes: append(slices.Clone(there), unassigned(eni, block, 50, 0)),
		},
		"I5: taken back from others, and unassigned": {
			pods:    []Life{life("a", 10, 0)},
			changes: append(slices.Clone(there), unassigned(eni, block, 50, 0), assigned(eni, block, 55, 2), unassigned(eni, block, 60, 3)),
			want:    []Kind{NotOnENI},
		},
		"unassigned after the end": {
			pods: []Life{life("a", 10, 40)}, changes: append(slices.Clone(there), unassigned(eni, block, 50, 2)),
		},
		"I10: on another interface": {
			pods: []Life{life("a", 10, 0)}, changes: []ec2sim.Change{assigned(otherENI, block, 1, 1)}, want: []Kind{GivenAbsent},
		},
		"I10: on no interface": {
			pods: []Life{life("a", 10, 0)}, want: []Kind{GivenAbsent},
		},
		"I10: assigned only after it was given": {
			pods: []Life{life("a", 10, 0)}, changes: []ec2sim.Change{assigned(eni, block, 20, 1)}, want: []Kind{GivenAbsent},
		},
		"I10: unassigned by itself before": {
			pods: []Life{life("a", 10, 0)}, changes: append(slices.Clone(there), unassigned(eni, block, 5, 2)), want: []Kind{GivenAbsent},
		},
		"I10: taken by others from the pod before": {
			pods:    []Life{life("a", 10, 60), life("b", 95, 0)},
			changes: append(slices.Clone(there), unassigned(eni, block, 55, 0)), want: []Kind{GivenAbsent},
		},
		"I10: taken by others while free, long ago": {
			pods: []Life{life("b", 100, 0)}, changes: append(slices.Clone(there), unassigned(eni, block, 10, 0)), want: []Kind{GivenAbsent},
		},
		"taken by others while free, a moment ago": {
			pods:    []Life{life("a", 10, 20), life("b", 60, 0)},
			changes: append(slices.Clone(there), unassigned(eni, block, 55, 0)),
		},
		"taken by others from the pod before, and back in time": {
			pods:    []Life{life("a", 10, 60), life("b", 95, 0)},
			changes: append(slices.Clone(there), unassigned(eni, block, 55, 0), assigned(eni, block, 70, 3)),
		},
		"I9: rejected by its kubelet": {
			pods: []Life{rejectedLife}, changes: there, want: []Kind{Rejected},
		},
		"rejected for max-pods": {
			pods: []Life{rejectedLife.with(func(l *Life) { l.Rejected = "OutOfpods: full" })}, changes: there,
		},
		"rejected, and bound by another scheduler": {
			pods: []Life{rejectedLife.with(func(l *Life) { l.Scheduler = "plain" })}, changes: there,
		},
		"rejected, and another came past the extender in the same moment": {
			pods: []Life{rejectedLife, pastExtender("b", 10.5)}, changes: there,
		},
		"I9: another came past the extender, but not in the same moment": {
			pods: []Life{rejectedLife, pastExtender("b", 14)}, changes: there, want: []Kind{Rejected},
		},
		"I9: another came past the extender to another node": {
			pods: []Life{rejectedLife, pastExtender("b", 10.5).with(func(l *Life) { l.Node = "node-2" })}, changes: there, want: []Kind{Rejected},
		},
		"rejected, and others had just set the capacity to 0": {
			pods: []Life{rejectedLife}, changes: there, notes: []Note{{At: at(18), Node: "node-1"}},
		},
		"rejected, and Slotwise could not put the capacity right": {
			pods: []Life{rejectedLife}, changes: there, notes: []Note{{At: at(3), Node: "node-1"}, {At: at(5), Hinders: 10 * time.Second}},
		},
		"rejected, and Slotwise was off since before the capacity was set": {
			pods: []Life{rejectedLife}, changes: there, notes: []Note{{At: at(2), Off: new(true)}, {At: at(3), Node: "node-1"}},
		},
		"I9: Slotwise was on again long before": {
			pods: []Life{rejectedLife}, changes: there,
			notes: []Note{{At: at(2), Off: new(true)}, {At: at(3), Node: "node-1"}, {At: at(4), Off: new(false)}}, want: []Kind{Rejected},
		},
		"rejected, and nobody led who could": {
			pods: []Life{rejectedLife}, changes: there, notes: []Note{{At: at(3), Node: "node-1"}, {At: at(4), Harm: true}},
		},
		"rejected, and nobody had led for long when one took the lease": {
			pods: []Life{rejectedLife.with(func(l *Life) { l.Alive, l.Ended = second(80)-1, second(80) })}, changes: there,
			notes: []Note{{At: at(12), Node: "node-1"}, {At: at(90), Harm: true, Took: true, Vacant: 75 * time.Second}},
		},
		"I9: one took the lease who had it from another": {
			pods: []Life{rejectedLife.with(func(l *Life) { l.Alive, l.Ended = second(80)-1, second(80) })}, changes: there,
			notes: []Note{{At: at(12), Node: "node-1"}, {At: at(90), Harm: true, Took: true, Vacant: 2 * time.Second}}, want: []Kind{Rejected},
		},
		"rejected, and the watch of its kubelet was not back after an outage": {
			pods: []Life{rejectedLife}, changes: there, notes: []Note{{At: at(0), Hinders: 6 * time.Second, Cuts: true}},
		},
		"I9: the watch of its kubelet was back after an outage": {
			pods: []Life{rejectedLife}, changes: there, notes: []Note{{At: at(0), Hinders: 3 * time.Second, Cuts: true}}, want: []Kind{Rejected},
		},
		"rejected, and its kubelet found the API server slow after its watch was cut": {
			pods: []Life{rejectedLife}, changes: there, notes: []Note{{At: at(2), Cuts: true}, {At: at(2.5), Hinders: 5 * time.Second}},
		},
		"I9: the watch of its kubelet was cut for a moment": {
			pods: []Life{rejectedLife}, changes: there, notes: []Note{{At: at(11), Cuts: true}}, want: []Kind{Rejected},
		},
		"I9: Slotwise was hindered before others set the capacity to 0": {
			pods: []Life{rejectedLife.with(func(l *Life) { l.Alive, l.Ended = second(80)-1, second(80) })}, changes: there,
			notes: []Note{{At: at(20), Hinders: 10 * time.Second}, {At: at(31), Node: "node-1"}}, want: []Kind{Rejected},
		},
		"I9: others had set another node's capacity to 0": {
			pods: []Life{rejectedLife}, changes: there, notes: []Note{{At: at(18), Node: "node-2"}}, want: []Kind{Rejected},
		},
		"I9: others had set the capacity to 0 long ago": {
			pods: []Life{rejectedLife}, changes: there, notes: []Note{{At: at(5), Node: "node-1"}}, want: []Kind{Rejected},
		},
		"I5: changed": {
			pods: []Life{life("a", 10, 0).with(func(l *Life) { l.Changed = address.Next() })}, changes: there, want: []Kind{Changed},
		},
	} {
		t.Run(name, func(t *testing.T) {
			found := judge(evidence{
				clock: newClock(), pods: test.pods, changes: test.changes, calls: test.calls, notes: test.notes, now: at(150),
				cluster: twoNodes(), subnets: []ec2sim.Subnet{{ID: "subnet", CIDR: netip.MustParsePrefix("10.0.0.0/24")}},
			})
			var got []Kind
			for _, v := range found {
				got = append(got, v.Kind)
				if v.Thawed != test.thawed {
					t.Errorf("%s: thawed is %v", v.Text, v.Thawed)
				}
				if v.Taken != test.taken {
					t.Errorf("%s: taken is %v", v.Text, v.Taken)
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("found %v, want %v", found, test.want)
			}
		})
	}
}
