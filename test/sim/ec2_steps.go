package sim

import (
	"net/netip"
	"slices"
	"strings"

	"slotwise.dev/slotwise/test/ec2sim"
	"slotwise.dev/slotwise/test/sim/ec2"
	"slotwise.dev/slotwise/test/sim/history"
	"slotwise.dev/slotwise/test/witness"
)

// ec2Fault has calls of EC2 go wrong for a while.
func (s *system) ec2Fault(x history.Step) {
	s.note(witness.Note{Text: x.String()})
	s.later(x.For.D(), s.cloud.Inject(ec2sim.Fault{
		Kind: ec2sim.FaultKind(x.Fault), Action: x.Action, Code: x.Code, Probability: x.Chance, Delay: x.Delay.D(),
	}))
}

func (s *system) ec2Lag(x history.Step) {
	s.cloud.SetLag(x.Delay.D())
	s.later(x.For.D(), func() { s.cloud.SetLag(0) })
}

func (s *system) ec2Rates(x history.Step) {
	s.cloud.SetThrottle(map[string]ec2sim.Bucket{
		ec2sim.AnyAction:             {Burst: 10, PerSecond: 2},
		"AssignPrivateIpAddresses":   {Burst: 5, PerSecond: 0.5},
		"UnassignPrivateIpAddresses": {Burst: 5, PerSecond: 0.5},
	})
	s.later(x.For.D(), func() { s.cloud.SetThrottle(nil) })
}

// ec2Refuses has EC2 refuse to change an interface, or those of a subnet, for a while.
func (s *system) ec2Refuses(x history.Step) {
	f := ec2sim.Fault{Kind: ec2sim.Refuse, Code: x.Code}
	if m := s.machines[x.On]; m != nil {
		f.ENI = m.eni
	} else {
		f.Subnet = x.On
	}
	s.note(witness.Note{Text: x.String()})
	actions := []string{"AssignPrivateIpAddresses", "UnassignPrivateIpAddresses"}
	if x.Action != "" {
		actions = []string{x.Action}
	}
	for _, action := range actions {
		f.Action = action
		s.later(x.For.D(), s.cloud.Inject(f))
	}
}

// othersUnassign has another client take something from an interface.
func (s *system) othersUnassign(x history.Step) { s.take(x) }

func (s *system) take(x history.Step) (gone ec2sim.Slots) {
	m := s.machines[x.On]
	if m == nil {
		return gone
	}
	gone, err := ec2.NewOthers(s.cloud, x.Draw).Take(m.eni)
	if err != nil {
		s.count("what others could not do")
	}
	s.note(witness.Note{Text: "others unassign from " + m.eni + " of " + x.On + ": " + textOf(gone)})
	return gone
}

// othersTake has another client take something from an interface, and keep one of the
// addresses for a while: a prefix of which one is taken cannot come back.
func (s *system) othersTake(x history.Step) {
	m := s.machines[x.On]
	if m == nil {
		return
	}
	gone := s.take(x)
	spoiled := slices.Clone(gone.Addresses)
	for _, p := range gone.Prefixes {
		spoiled = append(spoiled, p.Addr())
	}
	if len(spoiled) == 0 {
		return
	}
	giveBack, err := s.cloud.Occupy(m.node.Subnet, netip.PrefixFrom(spoiled[0], 32))
	if err != nil {
		s.count("what others could not do")
		return
	}
	s.later(x.For.D(), giveBack)
}

// othersAssign has another client put something on an interface.
func (s *system) othersAssign(x history.Step) {
	m := s.machines[x.On]
	if m == nil {
		return
	}
	got, err := ec2.NewOthers(s.cloud, x.Draw).Give(m.eni, x.Draw%2 == 0)
	if err != nil {
		s.count("what others could not do")
	}
	s.note(witness.Note{Text: "others assign to " + m.eni + " of " + x.On + ": " + textOf(got)})
}

// othersOccupy has another client use addresses of a subnet for a while.
func (s *system) othersOccupy(x history.Step) {
	hidden := x.Draw%2 == 1
	giveBack, err := ec2.NewOthers(s.cloud, x.Draw).Occupy(x.On, x.Count, hidden)
	if err != nil {
		s.count("what others could not do")
		return
	}
	if !hidden {
		s.later(x.For.D(), giveBack)
		return
	}
	s.note(witness.Note{Text: "another account uses addresses of " + x.On, Hidden: x.On, Users: 1})
	s.later(x.For.D(), func() {
		giveBack()
		s.note(witness.Note{Text: "another account uses them no longer", Hidden: x.On, Users: -1})
	})
}

func textOf(slots ec2sim.Slots) string {
	var words []string
	for _, a := range slots.Addresses {
		words = append(words, a.String())
	}
	for _, p := range slots.Prefixes {
		words = append(words, p.String())
	}
	if len(words) == 0 {
		return "nothing"
	}
	return strings.Join(words, " ")
}
