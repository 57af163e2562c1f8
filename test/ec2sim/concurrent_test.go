package ec2sim_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/ec2sim"
)

// TestConcurrent calls, turns every knob and looks, all at once: what is said
// to be safe for that is, under the race detector, and the model stays sound.
func TestConcurrent(t *testing.T) {
	sim := ec2sim.New(ec2sim.Options{})
	check.Must(t, sim.AddSubnet(subnetA, "eu-west-1a", cidr("10.0.0.0/24")))
	var enis []string
	for i := range 6 {
		enis = append(enis, run(t, sim, fmt.Sprintf("i-%d", i), "m5.large").ID)
	}
	const rounds = 40
	busy := []func(round int){
		func(int) {
			sim.SetLatency(ec2sim.AnyAction, ec2sim.Latency{Mean: time.Millisecond, Jitter: time.Millisecond})
		},
		func(int) { sim.SetLag(time.Millisecond) },
		func(int) { sim.SetThrottle(map[string]ec2sim.Bucket{ec2sim.AnyAction: {Burst: 100, PerSecond: 100}}) },
		func(int) { sim.Inject(ec2sim.Fault{Kind: ec2sim.RefuseDone, Probability: 0.5})() },
		func(int) { sim.Calls(); sim.Counts(); sim.Errors() },
		func(int) { sim.Changes(); sim.Interfaces() },
		func(round int) {
			if round == rounds/2 {
				sim.ResetCalls()
			}
		},
		func(int) {
			if err := sim.Check(); err != nil {
				t.Error(err)
			}
		},
		func(int) {
			if giveBack, err := sim.Fragment(subnetA); err == nil {
				giveBack()
			}
		},
		func(round int) {
			id := fmt.Sprintf("i-more-%d", round)
			if _, err := sim.AddInstance(ec2sim.Instance{ID: id, Type: "c5.large", Subnet: subnetA}); err == nil {
				check.Must(t, sim.Terminate(id))
			}
		},
	}
	for _, eni := range enis {
		busy = append(busy, func(int) {
			post(sim, "Action=AssignPrivateIpAddresses&Ipv4PrefixCount=1&SecondaryPrivateIpAddressCount=1&NetworkInterfaceId="+eni)
			post(sim, "Action=DescribeNetworkInterfaces")
			now, _ := sim.Interface(eni)
			if err := sim.Unassign(eni, now.Slots); err != nil && codeOfMethod(err) != ec2sim.CodeMissingParameter {
				t.Error(err)
			}
		})
	}
	var all sync.WaitGroup
	for _, do := range busy {
		all.Go(func() {
			for round := range rounds {
				do(round)
			}
		})
	}
	all.Wait()
	check.Must(t, sim.Check())
}
