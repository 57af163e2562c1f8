package ec2sim_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"

	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/ec2sim"
)

// TestDescribeNetworkInterface looks at every field that the simulator fills,
// through the SDK's deserializers.
func TestDescribeNetworkInterface(t *testing.T) {
	sim, client := start(t, ec2sim.Options{})
	eni := run(t, sim, "i-1", "c5.large")
	give(1, 1)(t, sim)
	occupy("10.0.0.99/32")(t, sim)

	out, err := client.DescribeNetworkInterfaces(t.Context(), &ec2.DescribeNetworkInterfacesInput{})
	check.Must(t, err)
	if len(out.NetworkInterfaces) != 2 {
		t.Fatalf("%d interfaces, want the instance's and somebody else's", len(out.NetworkInterfaces))
	}
	mine, other := out.NetworkInterfaces[0], out.NetworkInterfaces[1]
	got := map[string]any{
		"id":         *mine.NetworkInterfaceId,
		"subnet":     *mine.SubnetId,
		"zone":       *mine.AvailabilityZone,
		"status":     mine.Status,
		"primary":    *mine.PrivateIpAddress,
		"instance":   *mine.Attachment.InstanceId,
		"device":     *mine.Attachment.DeviceIndex,
		"attachment": mine.Attachment.Status,
		"mac":        *mine.MacAddress != "",
		"vpc":        *mine.VpcId != "",
		"addresses":  addressesOf(mine),
		"prefix":     *mine.Ipv4Prefixes[0].Ipv4Prefix,
		"other":      *other.PrivateIpAddress,
		"unattached": other.Attachment == nil && other.Status == types.NetworkInterfaceStatusAvailable,
	}
	want := map[string]any{
		"id":         eni.ID,
		"subnet":     subnetA,
		"zone":       "eu-west-1a",
		"status":     types.NetworkInterfaceStatusInUse,
		"primary":    "10.0.0.4",
		"instance":   "i-1",
		"device":     int32(0),
		"attachment": types.AttachmentStatusAttached,
		"mac":        true,
		"vpc":        true,
		"addresses":  []string{"10.0.0.4 true", "10.0.0.5 false"},
		"prefix":     "10.0.0.16/28",
		"other":      "10.0.0.99",
		"unattached": true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestDescribeNetworkInterfaces asks an EC2 of two instances, of which the
// first has two interfaces, and two addresses of somebody else.
func TestDescribeNetworkInterfaces(t *testing.T) {
	const first, second, third, other = "eni-00000000000000001", "eni-00000000000000002",
		"eni-00000000000000003", "eni-00000000000000005"
	tests := map[string]struct {
		ask  ec2.DescribeNetworkInterfacesInput
		want []string
		code string
	}{
		"all":         {want: []string{first, second, third, "eni-00000000000000004", other}},
		"by id":       {ask: ec2.DescribeNetworkInterfacesInput{NetworkInterfaceIds: []string{third, first}}, want: []string{first, third}},
		"one missing": {ask: ec2.DescribeNetworkInterfacesInput{NetworkInterfaceIds: []string{first, "eni-9"}}, code: ec2sim.CodeInvalidInterface},
		"by instance": {ask: filtered("attachment.instance-id", "i-1"), want: []string{first, second}},
		"primary interfaces of two instances": {
			ask: ec2.DescribeNetworkInterfacesInput{Filters: []types.Filter{
				{Name: aws.String("attachment.instance-id"), Values: []string{"i-1", "i-2"}},
				{Name: aws.String("attachment.device-index"), Values: []string{"0"}},
			}},
			want: []string{first, third},
		},
		"by interface":           {ask: filtered("network-interface-id", third), want: []string{third}},
		"by subnet":              {ask: filtered("subnet-id", "subnet-b"), want: []string{other}},
		"by zone":                {ask: filtered("availability-zone", "eu-west-1b"), want: []string{other}},
		"by address":             {ask: filtered("private-ip-address", "10.0.0.99"), want: []string{"eni-00000000000000004"}},
		"nothing matches":        {ask: filtered("subnet-id", "subnet-c")},
		"unknown filter":         {ask: filtered("colour", "red"), code: ec2sim.CodeInvalidValue},
		"wildcard":               {ask: filtered("subnet-id", "subnet-*"), code: ec2sim.CodeUnsupported},
		"200 filter values":      {ask: filtered("subnet-id", make([]string, 200)...)},
		"201 filter values":      {ask: filtered("subnet-id", make([]string, 201)...), code: ec2sim.CodeFilterLimitExceeded},
		"a page too small":       {ask: ec2.DescribeNetworkInterfacesInput{MaxResults: aws.Int32(4)}, code: ec2sim.CodeInvalidValue},
		"a page too large":       {ask: ec2.DescribeNetworkInterfacesInput{MaxResults: aws.Int32(1001)}, code: ec2sim.CodeInvalidValue},
		"a page of ids":          {ask: ec2.DescribeNetworkInterfacesInput{MaxResults: aws.Int32(5), NetworkInterfaceIds: []string{first}}, code: ec2sim.CodeInvalidCombination},
		"a token of another kin": {ask: ec2.DescribeNetworkInterfacesInput{NextToken: aws.String("!")}, code: ec2sim.CodeInvalidToken},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			sim, client := start(t, ec2sim.Options{})
			check.Must(t, sim.AddSubnet("subnet-b", "eu-west-1b", cidr("10.0.1.0/24")))
			run(t, sim, "i-1", "c5.large")
			_, err := sim.AddInterface("i-1", 1)
			check.Must(t, err)
			run(t, sim, "i-2", "c5.large")
			occupy("10.0.0.99/32")(t, sim)
			_, err = sim.Occupy("subnet-b", cidr("10.0.1.9/32"))
			check.Must(t, err)

			out, err := client.DescribeNetworkInterfaces(t.Context(), &test.ask)
			if got := codeOf(t, err); got != test.code {
				t.Fatalf("code = %q (%v), want %q", got, err, test.code)
			}
			var got []string
			if err == nil {
				for _, eni := range out.NetworkInterfaces {
					got = append(got, *eni.NetworkInterfaceId)
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("interfaces = %v, want %v", got, test.want)
			}
		})
	}
}

func filtered(name string, values ...string) ec2.DescribeNetworkInterfacesInput {
	return ec2.DescribeNetworkInterfacesInput{Filters: []types.Filter{{Name: &name, Values: values}}}
}

func TestPaging(t *testing.T) {
	tests := map[string]struct {
		bound int // Options.PageSize
		ask   *int32
		pages []int
	}{
		"as the client asks":           {ask: aws.Int32(5), pages: []int{5, 5, 2}},
		"a last page that is full":     {ask: aws.Int32(6), pages: []int{6, 6}},
		"no bound":                     {pages: []int{12}},
		"EC2's own bound":              {bound: 7, pages: []int{7, 5}},
		"EC2's bound below the client": {bound: 3, ask: aws.Int32(5), pages: []int{3, 3, 3, 3}},
		"EC2's bound above the client": {bound: 9, ask: aws.Int32(5), pages: []int{5, 5, 2}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			sim, client := start(t, ec2sim.Options{PageSize: test.bound})
			for i := range 12 {
				run(t, sim, fmt.Sprintf("i-%02d", i), "c5.large")
			}
			var pages []int
			seen := map[string]bool{}
			more := ec2.NewDescribeNetworkInterfacesPaginator(client,
				&ec2.DescribeNetworkInterfacesInput{MaxResults: test.ask})
			for more.HasMorePages() {
				out, err := more.NextPage(t.Context())
				check.Must(t, err)
				pages = append(pages, len(out.NetworkInterfaces))
				for _, eni := range out.NetworkInterfaces {
					seen[*eni.NetworkInterfaceId] = true
				}
			}
			if !slices.Equal(pages, test.pages) || len(seen) != 12 {
				t.Errorf("pages of %v with %d interfaces, want %v with 12", pages, len(seen), test.pages)
			}
		})
	}
}

func TestDescribeInstances(t *testing.T) {
	sim, client := start(t, ec2sim.Options{})
	eni := run(t, sim, "i-1", "t3.xlarge")
	give(1, 1)(t, sim)
	run(t, sim, "i-2", "m4.large")
	check.Must(t, sim.Terminate("i-2"))

	out, err := client.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{})
	check.Must(t, err)
	one, two := out.Reservations[0].Instances[0], out.Reservations[1].Instances[0]
	inside := one.NetworkInterfaces[0]
	got := map[string]any{
		"id":         *one.InstanceId,
		"type":       one.InstanceType,
		"state":      one.State.Name,
		"subnet":     *one.SubnetId,
		"zone":       *one.Placement.AvailabilityZone,
		"platform":   one.Platform,
		"name":       *one.PrivateDnsName,
		"address":    *one.PrivateIpAddress,
		"interface":  *inside.NetworkInterfaceId,
		"device":     *inside.Attachment.DeviceIndex,
		"addresses":  len(inside.PrivateIpAddresses),
		"prefix":     *inside.Ipv4Prefixes[0].Ipv4Prefix,
		"ended":      two.State.Name,
		"interfaces": len(two.NetworkInterfaces),
	}
	want := map[string]any{
		"id":         "i-1",
		"type":       types.InstanceTypeT3Xlarge,
		"state":      types.InstanceStateNameRunning,
		"subnet":     subnetA,
		"zone":       "eu-west-1a",
		"platform":   types.PlatformValues("windows"), // as EC2 spells it
		"name":       "ip-10-0-0-4.eu-west-1.compute.internal",
		"address":    "10.0.0.4",
		"interface":  eni.ID,
		"device":     int32(0),
		"addresses":  2,
		"prefix":     "10.0.0.16/28",
		"ended":      types.InstanceStateNameTerminated,
		"interfaces": 0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	running, err := client.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{Filters: []types.Filter{
		{Name: aws.String("instance-state-name"), Values: []string{"running"}},
	}})
	check.Must(t, err)
	if len(running.Reservations) != 1 {
		t.Errorf("%d running instances, want 1", len(running.Reservations))
	}
	_, err = client.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{"i-1", "i-9"}})
	if got := codeOf(t, err); got != ec2sim.CodeInvalidInstance {
		t.Errorf("code = %q, want %q", got, ec2sim.CodeInvalidInstance)
	}
}

func TestDescribeInstanceTypes(t *testing.T) {
	tests := map[string]struct {
		ask  []types.InstanceType
		want []string
		code string
	}{
		"several": {
			ask:  []types.InstanceType{"t3.xlarge", "c5.large", "m4.large"},
			want: []string{"c5.large nitro 10", "m4.large xen 10", "t3.xlarge nitro 15"},
		},
		"an unknown one among them": {ask: []types.InstanceType{"c5.large", "q1.huge"}, code: ec2sim.CodeInvalidInstanceType},
		"one that EC2 hides":        {ask: []types.InstanceType{"n9.secret"}, code: ec2sim.CodeInvalidInstanceType},
		"too many":                  {ask: slices.Repeat([]types.InstanceType{"c5.large"}, 101), code: ec2sim.CodeInvalidValue},
	}
	sim, client := start(t, ec2sim.Options{})
	sim.AddType(ec2sim.Type{Name: "n9.secret", Interfaces: 2, Addresses: 7, Hypervisor: ec2sim.Nitro, Hidden: true})
	run(t, sim, "i-1", "n9.secret")
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			out, err := client.DescribeInstanceTypes(t.Context(), &ec2.DescribeInstanceTypesInput{InstanceTypes: test.ask})
			if got := codeOf(t, err); got != test.code {
				t.Fatalf("code = %q (%v), want %q", got, err, test.code)
			}
			var got []string
			if err == nil {
				for _, info := range out.InstanceTypes {
					got = append(got, fmt.Sprintf("%s %s %d", info.InstanceType, info.Hypervisor, *info.NetworkInfo.Ipv4AddressesPerInterface))
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("types = %v, want %v", got, test.want)
			}
		})
	}
}

// TestAvailableAddresses follows AvailableIpAddressCount of a /24.
func TestAvailableAddresses(t *testing.T) {
	tests := map[string]struct {
		before func(t *testing.T, sim *ec2sim.Server)
		want   int32
	}{
		"an empty subnet lacks the five reserved": {nil, 251},
		"an instance takes its primary address":   {func(t *testing.T, sim *ec2sim.Server) { run(t, sim, "i-1", "c5.large") }, 250},
		"a prefix counts 16, an address 1": {func(t *testing.T, sim *ec2sim.Server) {
			run(t, sim, "i-1", "c5.large")
			give(1, 1)(t, sim)
		}, 233},
		"reserved space does not count":           {reserve(ec2sim.ReservedForPrefixes, "10.0.0.64/27"), 219},
		"nor where Amazon's addresses are in it":  {reserve(ec2sim.ReservedExplicit, "10.0.0.0/28"), 239},
		"used space in a reservation counts once": {both(occupy("10.0.0.64/28"), reserve(ec2sim.ReservedForPrefixes, "10.0.0.64/27")), 219},
		"nor does it when it comes to be used":    {both(reserve(ec2sim.ReservedForPrefixes, "10.0.0.64/27"), occupy("10.0.0.64/28")), 219},
		"what is given back counts again": {func(t *testing.T, sim *ec2sim.Server) {
			giveBack, err := sim.Fragment(subnetA)
			check.Must(t, err)
			giveBack()
			giveBack()
		}, 251},
		"a removed reservation counts again": {func(t *testing.T, sim *ec2sim.Server) {
			id, err := sim.AddReservation(subnetA, cidr("10.0.0.0/25"), ec2sim.ReservedExplicit)
			check.Must(t, err)
			check.Must(t, sim.RemoveReservation(id))
		}, 251},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			sim, client := start(t, ec2sim.Options{})
			if test.before != nil {
				test.before(t, sim)
			}
			out, err := client.DescribeSubnets(t.Context(), &ec2.DescribeSubnetsInput{SubnetIds: []string{subnetA}})
			check.Must(t, err)
			if got := *out.Subnets[0].AvailableIpAddressCount; got != test.want {
				t.Errorf("available = %d, want %d", got, test.want)
			}
			if got := *out.Subnets[0].CidrBlock + *out.Subnets[0].AvailabilityZone; got != "10.0.0.0/24eu-west-1a" {
				t.Errorf("subnet = %s", got)
			}
		})
	}
}

func both(first, then func(*testing.T, *ec2sim.Server)) func(*testing.T, *ec2sim.Server) {
	return func(t *testing.T, sim *ec2sim.Server) {
		first(t, sim)
		then(t, sim)
	}
}

func TestGetSubnetCidrReservations(t *testing.T) {
	sim, client := start(t, ec2sim.Options{})
	reserve(ec2sim.ReservedForPrefixes, "10.0.0.64/26")(t, sim)
	reserve(ec2sim.ReservedExplicit, "10.0.0.32/28")(t, sim)

	out, err := client.GetSubnetCidrReservations(t.Context(), &ec2.GetSubnetCidrReservationsInput{SubnetId: aws.String(subnetA)})
	check.Must(t, err)
	var got []string
	for _, r := range out.SubnetIpv4CidrReservations {
		got = append(got, fmt.Sprintf("%s %s %s", *r.SubnetId, *r.Cidr, r.ReservationType))
	}
	if want := []string{"subnet-a 10.0.0.64/26 prefix", "subnet-a 10.0.0.32/28 explicit"}; !slices.Equal(got, want) {
		t.Errorf("reservations = %q, want %q", got, want)
	}
	_, err = client.GetSubnetCidrReservations(t.Context(), &ec2.GetSubnetCidrReservationsInput{SubnetId: aws.String("subnet-9")})
	if got := codeOf(t, err); got != ec2sim.CodeInvalidSubnet {
		t.Errorf("code = %q, want %q", got, ec2sim.CodeInvalidSubnet)
	}
}

func addressesOf(eni types.NetworkInterface) []string {
	var all []string
	for _, a := range eni.PrivateIpAddresses {
		all = append(all, fmt.Sprint(*a.PrivateIpAddress, " ", *a.Primary))
	}
	return all
}
