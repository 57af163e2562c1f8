package cloud

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"slotwise.dev/slotwise/allocator/ledger"
)

// fakeAPI answers as its functions do. Calls of others panic.
type fakeAPI struct {
	API
	assign     func() (*ec2.AssignPrivateIpAddressesOutput, error)
	instances  func() (*ec2.DescribeInstancesOutput, error)
	types      func() (*ec2.DescribeInstanceTypesOutput, error)
	interfaces func() (*ec2.DescribeNetworkInterfacesOutput, error)
}

func (f fakeAPI) AssignPrivateIpAddresses(context.Context, *ec2.AssignPrivateIpAddressesInput, ...func(*ec2.Options)) (*ec2.AssignPrivateIpAddressesOutput, error) {
	return f.assign()
}

func (f fakeAPI) DescribeInstances(context.Context, *ec2.DescribeInstancesInput, ...func(*ec2.Options)) (*ec2.DescribeInstancesOutput, error) {
	return f.instances()
}

func (f fakeAPI) DescribeInstanceTypes(context.Context, *ec2.DescribeInstanceTypesInput, ...func(*ec2.Options)) (*ec2.DescribeInstanceTypesOutput, error) {
	return f.types()
}

func (f fakeAPI) DescribeNetworkInterfaces(context.Context, *ec2.DescribeNetworkInterfacesInput, ...func(*ec2.Options)) (*ec2.DescribeNetworkInterfacesOutput, error) {
	return f.interfaces()
}

func TestAssignTrustsNoBadAnswer(t *testing.T) {
	cases := map[string]*ec2.AssignPrivateIpAddressesOutput{
		"empty":          {},
		"short":          {AssignedIpv4Prefixes: []types.Ipv4PrefixSpecification{{Ipv4Prefix: aws.String("10.0.0.16/28")}}},
		"nil prefix":     {AssignedIpv4Prefixes: []types.Ipv4PrefixSpecification{{}, {}}},
		"another kind":   {AssignedPrivateIpAddresses: []types.AssignedPrivateIpAddress{{PrivateIpAddress: aws.String("10.0.0.5")}, {PrivateIpAddress: aws.String("10.0.0.6")}}},
		"no IPv4 at all": {AssignedIpv4Prefixes: []types.Ipv4PrefixSpecification{{Ipv4Prefix: aws.String("x")}, {Ipv4Prefix: aws.String("y")}}},
	}
	for name, answer := range cases {
		t.Run(name, func(t *testing.T) {
			c := New(fakeAPI{assign: func() (*ec2.AssignPrivateIpAddressesOutput, error) { return answer, nil }}, Options{})
			blocks, err := c.Assign(t.Context(), "eni-1", ledger.Prefix, 2)
			if Classify(err) != Lost || blocks != nil {
				t.Errorf("got %v, %v, want an error of class lost", blocks, err)
			}
		})
	}
}

func TestInstanceReadsIncompleteAnswers(t *testing.T) {
	primary := types.InstanceNetworkInterface{
		NetworkInterfaceId: aws.String("eni-1"),
		SubnetId:           aws.String("subnet-1"),
		Attachment:         &types.InstanceNetworkInterfaceAttachment{DeviceIndex: aws.Int32(0)},
	}
	second := types.InstanceNetworkInterface{
		NetworkInterfaceId: aws.String("eni-2"),
		Attachment:         &types.InstanceNetworkInterfaceAttachment{DeviceIndex: aws.Int32(1)},
	}
	otherCard := types.InstanceNetworkInterface{
		NetworkInterfaceId: aws.String("eni-3"),
		Attachment:         &types.InstanceNetworkInterfaceAttachment{DeviceIndex: aws.Int32(0), NetworkCardIndex: aws.Int32(1)},
	}
	running := &types.InstanceState{Name: types.InstanceStateNameRunning}
	cases := map[string]struct {
		instance types.Instance
		want     string // the primary interface
		class    Class
	}{
		"primary is not first": {
			instance: types.Instance{State: running, NetworkInterfaces: []types.InstanceNetworkInterface{second, otherCard, primary}},
			want:     "eni-1",
		},
		"no state":      {instance: types.Instance{NetworkInterfaces: []types.InstanceNetworkInterface{primary}}, want: "eni-1"},
		"no interface":  {instance: types.Instance{State: running}, class: OutOfStep},
		"no attachment": {instance: types.Instance{State: running, NetworkInterfaces: []types.InstanceNetworkInterface{{}}}, class: OutOfStep},
		"is shutting down": {
			instance: types.Instance{State: &types.InstanceState{Name: types.InstanceStateNameShuttingDown}, NetworkInterfaces: []types.InstanceNetworkInterface{primary}},
			class:    Gone,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.instance.InstanceId = aws.String("i-1")
			client := New(fakeAPI{instances: func() (*ec2.DescribeInstancesOutput, error) {
				return &ec2.DescribeInstancesOutput{Reservations: []types.Reservation{{Instances: []types.Instance{c.instance}}}}, nil
			}}, Options{})
			got, err := client.Instance(t.Context(), "i-1")
			if got.PrimaryENI != c.want || Classify(err) != c.class {
				t.Errorf("got %+v, %v, want %q and class %v", got, err, c.want, c.class)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	info := func(n int32) *types.NetworkInfo { return &types.NetworkInfo{Ipv4AddressesPerInterface: &n} }
	cases := map[string]struct {
		info  types.InstanceTypeInfo
		want  Limits
		class Class
	}{
		"nitro":      {info: types.InstanceTypeInfo{Hypervisor: types.InstanceTypeHypervisorNitro, NetworkInfo: info(15)}, want: Limits{AddressesPerInterface: 15, Nitro: true}},
		"bare metal": {info: types.InstanceTypeInfo{BareMetal: aws.Bool(true), NetworkInfo: info(50)}, want: Limits{AddressesPerInterface: 50, Nitro: true}},
		"xen":        {info: types.InstanceTypeInfo{Hypervisor: types.InstanceTypeHypervisorXen, NetworkInfo: info(12)}, want: Limits{AddressesPerInterface: 12}},
		"no network": {info: types.InstanceTypeInfo{Hypervisor: types.InstanceTypeHypervisorNitro}, class: Refused},
		"no slots":   {info: types.InstanceTypeInfo{NetworkInfo: info(0)}, class: Refused},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.info.InstanceType = "x.large"
			calls := 0
			client := New(fakeAPI{types: func() (*ec2.DescribeInstanceTypesOutput, error) {
				calls++
				return &ec2.DescribeInstanceTypesOutput{InstanceTypes: []types.InstanceTypeInfo{c.info}}, nil
			}}, Options{})
			for range 2 {
				if got, err := client.Limits(t.Context(), "x.large"); got != c.want || Classify(err) != c.class {
					t.Errorf("got %+v, %v, want %+v and class %v", got, err, c.want, c.class)
				}
			}
			if c.class == None && calls != 1 {
				t.Errorf("%d calls for a type that is known, want 1", calls)
			}
		})
	}
}

// One interface that cannot be read fails its own lookup only.
func TestInterfaceThatCannotBeRead(t *testing.T) {
	address := func(text string, primary bool) types.NetworkInterfacePrivateIpAddress {
		return types.NetworkInterfacePrivateIpAddress{PrivateIpAddress: &text, Primary: &primary}
	}
	synctest.Test(t, func(t *testing.T) {
		client := New(fakeAPI{interfaces: func() (*ec2.DescribeNetworkInterfacesOutput, error) {
			return &ec2.DescribeNetworkInterfacesOutput{NetworkInterfaces: []types.NetworkInterface{
				{NetworkInterfaceId: aws.String("good"), PrivateIpAddresses: []types.NetworkInterfacePrivateIpAddress{address("10.0.0.4", true), address("10.0.0.5", false)}},
				{NetworkInterfaceId: aws.String("bad"), PrivateIpAddresses: []types.NetworkInterfacePrivateIpAddress{address("?", false)}},
			}}, nil
		}}, Options{})
		var group sync.WaitGroup
		group.Go(func() {
			if _, err := client.Interface(t.Context(), "bad"); Classify(err) != Lost {
				t.Errorf("the bad one: %v, want class lost", err)
			}
		})
		group.Go(func() {
			got, err := client.Interface(t.Context(), "good")
			if err != nil || got.Primary.String() != "10.0.0.4" || !slices.Equal(got.Blocks, prefixes("10.0.0.5/32")) {
				t.Errorf("the good one: %+v, %v", got, err)
			}
		})
		group.Wait()
	})
}

// A throttled read waits for its bucket, which slows down, for as long as
// somebody wants the answer.
func TestThrottledReadWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		var observed []string
		client := New(fakeAPI{interfaces: func() (*ec2.DescribeNetworkInterfacesOutput, error) {
			if calls++; calls <= 5 {
				return nil, refusal(DescribeInterfaces, 503, "RequestLimitExceeded", "slow down")
			}
			return &ec2.DescribeNetworkInterfacesOutput{}, nil
		}}, Options{Observe: func(action, code string, _ time.Duration) { observed = append(observed, action+" "+code) }})
		start := time.Now()
		if _, err := client.Interface(t.Context(), "eni-1"); Classify(err) != Gone {
			t.Errorf("the answer is %v, want class gone", err)
		}
		// 10 a second, halved each time, to 1/20 at the least: 1/5 + 1/2.5 + 1/1.25 + 1/0.625 + 1/0.5 s.
		if took := time.Since(start); took < 4500*time.Millisecond || took > 5500*time.Millisecond {
			t.Errorf("took %v, want about 5s", took)
		}
		want := slices.Repeat([]string{"DescribeNetworkInterfaces RequestLimitExceeded"}, 5)
		if want = append(want, "DescribeNetworkInterfaces "); !slices.Equal(observed, want) {
			t.Errorf("observed %q, want %q", observed, want)
		}
	})
}

func TestThrottledReadEndsWithItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := New(fakeAPI{interfaces: func() (*ec2.DescribeNetworkInterfacesOutput, error) {
			return nil, refusal(DescribeInterfaces, 503, "RequestLimitExceeded", "slow down")
		}}, Options{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := client.Interface(ctx, "eni-1"); Classify(err) != Lost {
			t.Errorf("the answer is %v, want class lost", err)
		}
	})
}

func TestThrottledChangeSlowsItsActionOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := New(fakeAPI{assign: func() (*ec2.AssignPrivateIpAddressesOutput, error) {
			return nil, refusal(Assign, 503, "RequestLimitExceeded", "slow down")
		}}, Options{Buckets: map[Action]Bucket{Assign: {Burst: 10, PerSecond: 1}}})
		time.Sleep(time.Second)
		if _, err := client.Assign(t.Context(), "eni-1", ledger.Prefix, 1); Classify(err) != RetryLater {
			t.Errorf("the answer is %v, want class retry-later", err)
		}
		waits := map[Action]time.Duration{}
		for _, action := range []Action{Assign, Unassign} {
			start := time.Now()
			if err := client.Admit(t.Context(), action, urgencyOf(ledger.Waiting)); err != nil {
				t.Error(err)
			}
			waits[action] = time.Since(start).Round(time.Millisecond)
		}
		if waits[Assign] < time.Second || waits[Unassign] != 0 {
			t.Errorf("waits are %v, want seconds for assign and none for unassign", waits)
		}
	})
}
