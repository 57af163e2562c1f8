package ec2sim_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/smithy-go"

	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/ec2sim"
)

// TestFaults assigns one address while each kind of fault strikes.
func TestFaults(t *testing.T) {
	const dropped = "dropped"
	tests := map[string]struct {
		fault ec2sim.Fault
		code  string
		done  bool
	}{
		"refuse":                {ec2sim.Fault{Kind: ec2sim.Refuse, Code: "UnauthorizedOperation"}, "UnauthorizedOperation", false},
		"refuse without code":   {ec2sim.Fault{Kind: ec2sim.Refuse}, "InternalError", false},
		"refuse though done":    {ec2sim.Fault{Kind: ec2sim.RefuseDone, Code: "Unavailable"}, "Unavailable", true},
		"drop before":           {ec2sim.Fault{Kind: ec2sim.DropBefore}, dropped, false},
		"drop after":            {ec2sim.Fault{Kind: ec2sim.DropAfter}, dropped, true},
		"throttle":              {ec2sim.Fault{Kind: ec2sim.Throttle}, ec2sim.CodeThrottled, false},
		"delay":                 {ec2sim.Fault{Kind: ec2sim.DelayAfter, Delay: time.Millisecond}, "", true},
		"another action":        {ec2sim.Fault{Kind: ec2sim.Refuse, Action: "DescribeSubnets"}, "", true},
		"this action":           {ec2sim.Fault{Kind: ec2sim.Refuse, Action: "AssignPrivateIpAddresses"}, "InternalError", false},
		"another interface":     {ec2sim.Fault{Kind: ec2sim.Refuse, ENI: "eni-9"}, "", true},
		"this interface":        {ec2sim.Fault{Kind: ec2sim.Refuse, ENI: "eni-00000000000000001"}, "InternalError", false},
		"another subnet":        {ec2sim.Fault{Kind: ec2sim.Refuse, Subnet: "subnet-b"}, "", true},
		"this subnet":           {ec2sim.Fault{Kind: ec2sim.Refuse, Subnet: subnetA}, "InternalError", false},
		"the next call but one": {ec2sim.Fault{Kind: ec2sim.Refuse, Skip: 1}, "", true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			sim, client := start(t, ec2sim.Options{})
			eni := run(t, sim, "i-1", "c5.large")
			remove := sim.Inject(test.fault)

			err := assignOne(t, client, eni.ID)
			code := dropped
			if answered := smithy.APIError(nil); err == nil || errors.As(err, &answered) {
				code = codeOf(t, err)
			}
			if code != test.code {
				t.Errorf("code = %q (%v), want %q", code, err, test.code)
			}
			after, _ := sim.Interface(eni.ID)
			if done := len(after.Addresses) == 1; done != test.done || lastCall(sim).Applied != test.done {
				t.Errorf("done = %t, logged %t, want %t", done, lastCall(sim).Applied, test.done)
			}
			if got := lastCall(sim).Dropped(); got != (test.code == dropped) {
				t.Errorf("logged as dropped: %t", got)
			}
			remove()
			remove()
			check.Must(t, assignOne(t, client, eni.ID))
		})
	}
}

// TestFaultTimes strikes the third and the fourth call only.
func TestFaultTimes(t *testing.T) {
	sim, client := start(t, ec2sim.Options{})
	eni := run(t, sim, "i-1", "c5.large")
	sim.Inject(ec2sim.Fault{Kind: ec2sim.Refuse, Code: "X", Skip: 2, Times: 2})
	var got []string
	for range 6 {
		got = append(got, codeOf(t, assignOne(t, client, eni.ID)))
	}
	if want := []string{"", "", "X", "X", "", ""}; !slices.Equal(got, want) {
		t.Errorf("codes = %q, want %q", got, want)
	}
}

// TestFaultsCombine has a delay and two errors at once: the older one answers.
func TestFaultsCombine(t *testing.T) {
	bubble(t, ec2sim.Options{}, func(t *testing.T, sim *ec2sim.Server, client *ec2.Client, eni ec2sim.Interface) {
		sim.Inject(ec2sim.Fault{Kind: ec2sim.RefuseDone, Code: "Older", Times: 1})
		sim.Inject(ec2sim.Fault{Kind: ec2sim.DelayBefore})
		sim.Inject(ec2sim.Fault{Kind: ec2sim.DelayAfter, Delay: time.Second})
		sim.Inject(ec2sim.Fault{Kind: ec2sim.Refuse, Code: "Younger", Times: 1})
		began := time.Now()
		first := codeOf(t, assignOne(t, client, eni.ID))
		if took := time.Since(began); first != "Older" || took != 31*time.Second+ec2sim.LeastLatency {
			t.Errorf("%s after %s, want Older after 31s", first, took)
		}
		changes := sim.ChangesOf(addrs("10.0.0.5")[0])
		if len(changes) != 1 || changes[0].Time.Sub(began) != 30*time.Second+ec2sim.LeastLatency/2 {
			t.Errorf("done at %v, want once, 30s after %s", changes, began)
		}
		if second := codeOf(t, assignOne(t, client, eni.ID)); second != "Younger" {
			t.Errorf("the second call got %q: the younger fault was used up by the first", second)
		}
	})
}

func TestFaultProbability(t *testing.T) {
	// struck is how many of 200 calls fail.
	struck := func(seed uint64, probability float64) (n int) {
		bubble(t, ec2sim.Options{Seed: seed}, func(_ *testing.T, sim *ec2sim.Server, _ *ec2.Client, _ ec2sim.Interface) {
			sim.Inject(ec2sim.Fault{Kind: ec2sim.Refuse, Code: "X", Probability: probability})
			for range 200 {
				post(sim, "Action=DescribeSubnets")
			}
			n = sim.Errors()["X"]
		})
		return n
	}
	if got := struck(1, 0.3); got < 30 || got > 90 {
		t.Errorf("%d of 200 at probability 0.3", got)
	}
	if a, b := struck(7, 0.5), struck(7, 0.5); a != b {
		t.Errorf("%d and %d of 200 with the same seed", a, b)
	}
}

// TestDoneForOneWhoLeft checks that EC2 finishes what it was asked for when
// the client gives up waiting.
func TestDoneForOneWhoLeft(t *testing.T) {
	const latency = time.Minute
	options := ec2sim.Options{Latency: map[string]ec2sim.Latency{ec2sim.AnyAction: {Mean: latency}}}
	bubble(t, options, func(t *testing.T, sim *ec2sim.Server, client *ec2.Client, eni ec2sim.Interface) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := client.AssignPrivateIpAddresses(ctx, &ec2.AssignPrivateIpAddressesInput{
			NetworkInterfaceId: &eni.ID, SecondaryPrivateIpAddressCount: aws.Int32(1),
		})
		if err == nil {
			t.Fatal("answered in time")
		}
		if now, _ := sim.Interface(eni.ID); len(now.Addresses) != 0 || !lastCall(sim).End.IsZero() {
			t.Error("done before its time")
		}
		time.Sleep(latency)
		if now, _ := sim.Interface(eni.ID); len(now.Addresses) != 1 || !lastCall(sim).Applied {
			t.Error("not done after its time")
		}
	})
}
