package ec2sim

import (
	"net/netip"
	"time"
)

// action does what a query asks for, in a model that is locked.
type action func(m *model, q query, c conditions) (answer, Slots, error)

// conditions are what an action has to know of the call it serves.
type conditions struct {
	call int
	asOf time.Time // reads answer with the state of then
	page int       // the most items of one page; 0 is no bound
}

// actions are the actions that the simulator knows.
var actions = map[string]action{
	"AssignPrivateIpAddresses":   assignPrivateIPAddresses,
	"UnassignPrivateIpAddresses": unassignPrivateIPAddresses,
	"DescribeNetworkInterfaces":  describeNetworkInterfaces,
	"DescribeInstances":          describeInstances,
	"DescribeInstanceTypes":      describeInstanceTypes,
	"DescribeSubnets":            describeSubnets,
	"GetSubnetCidrReservations":  getSubnetCidrReservations,
}

func assignPrivateIPAddresses(m *model, q query, c conditions) (answer, Slots, error) {
	if q.form.Get("AllowReassignment") == "true" {
		return nil, Slots{}, refuse(CodeUnsupported, "the simulator reassigns no address")
	}
	r, err := q.request()
	if err != nil {
		return nil, Slots{}, err
	}
	eni := q.form.Get("NetworkInterfaceId")
	got, err := m.assign(eni, r, c.call)
	if err != nil {
		return nil, Slots{}, err
	}
	a := &assignAnswer{Interface: eni, Prefixes: prefixAnswers(got.Prefixes)}
	for _, addr := range got.Addresses {
		a.Addresses = append(a.Addresses, addressAnswer{Address: addr})
	}
	return a, got, nil
}

func unassignPrivateIPAddresses(m *model, q query, c conditions) (answer, Slots, error) {
	r, err := q.request()
	if err != nil {
		return nil, Slots{}, err
	}
	if err := m.unassign(q.form.Get("NetworkInterfaceId"), r.Slots, c.call); err != nil {
		return nil, Slots{}, err
	}
	return &unassignAnswer{Return: true}, r.Slots, nil
}

func prefixAnswers(prefixes []netip.Prefix) []prefixAnswer {
	answers := make([]prefixAnswer, len(prefixes))
	for i, p := range prefixes {
		answers[i].Prefix = p
	}
	return answers
}
