package ec2sim_test

import (
	"net/netip"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/ec2sim"
)

// TestPrivateDNSNames has EC2 name instances after their primary addresses, in each
// region as there, and as it is told.
func TestPrivateDNSNames(t *testing.T) {
	for name, c := range map[string]struct {
		zone, given, want string
	}{
		"in most regions": {zone: "us-west-2a", want: "ip-10-9-0-5.us-west-2.compute.internal"},
		"in the oldest":   {zone: "us-east-1d", want: "ip-10-9-0-5.ec2.internal"},
		"a resource name": {zone: "us-west-2a", given: "i-1.us-west-2.compute.internal", want: "i-1.us-west-2.compute.internal"},
	} {
		t.Run(name, func(t *testing.T) {
			sim, client := start(t, ec2sim.Options{})
			check.Must(t, sim.AddSubnet("subnet-z", c.zone, netip.MustParsePrefix("10.9.0.0/24")))
			check.Must(t, check.ErrorOf(sim.AddInstance(ec2sim.Instance{
				ID: "i-1", Type: "t3.small", Subnet: "subnet-z", Address: netip.MustParseAddr("10.9.0.5"), DNSName: c.given,
			})))
			got, err := client.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{"i-1"}})
			check.Must(t, err)
			if got := *got.Reservations[0].Instances[0].PrivateDnsName; got != c.want {
				t.Errorf("it is called %s, want %s", got, c.want)
			}
		})
	}
}

// TestNamedAddressThatIsTaken: EC2 names all that somebody holds, and does nothing.
func TestNamedAddressThatIsTaken(t *testing.T) {
	sim := ec2sim.New(ec2sim.Options{})
	check.Must(t, sim.AddSubnet("subnet-z", "us-west-2a", netip.MustParsePrefix("10.9.0.0/24")))
	eni, err := sim.AddInstance(ec2sim.Instance{ID: "i-1", Type: "t3.xlarge", Subnet: "subnet-z"})
	check.Must(t, err)
	check.Must(t, check.ErrorOf(sim.Occupy("subnet-z", netip.MustParsePrefix("10.9.0.20/31"))))
	_, err = sim.Assign(eni.ID, ec2sim.Request{Slots: ec2sim.Slots{Addresses: []netip.Addr{
		netip.MustParseAddr("10.9.0.20"), netip.MustParseAddr("10.9.0.21"), netip.MustParseAddr("10.9.0.22"),
	}}})
	const want = "InvalidParameterValue: [10.9.0.20, 10.9.0.21] assigned, but move is not allowed."
	if err == nil || err.Error() != want {
		t.Errorf("EC2 answered %v, want %s", err, want)
	}
	if now, _ := sim.Interface(eni.ID); len(now.Addresses) > 0 {
		t.Errorf("the interface got %v", now.Addresses)
	}
}
