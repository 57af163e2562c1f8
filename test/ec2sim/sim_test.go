package ec2sim_test

import (
	"net/netip"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"slotwise.dev/slotwise/test/ec2sim"
)

const subnetA = "subnet-a"

// client is the real SDK's client, which asks once and does not retry.
func client(url string) *ec2.Client {
	return ec2.New(ec2.Options{
		Region:       "eu-west-1",
		BaseEndpoint: &url,
		Credentials:  credentials.NewStaticCredentialsProvider("id", "secret", ""),
		Retryer:      aws.NopRetryer{},
	})
}

// start serves an EC2 with the subnet 10.0.0.0/24.
func start(t *testing.T, o ec2sim.Options) (*ec2sim.Server, *ec2.Client) {
	t.Helper()
	sim := ec2sim.New(o)
	url, err := sim.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sim.Close)
	if err := sim.AddSubnet(subnetA, "eu-west-1a", netip.MustParsePrefix("10.0.0.0/24")); err != nil {
		t.Fatal(err)
	}
	return sim, client(url)
}

// run starts an instance in subnet-a and returns its primary interface.
func run(t *testing.T, sim *ec2sim.Server, id, kind string) ec2sim.Interface {
	t.Helper()
	eni, err := sim.AddInstance(ec2sim.Instance{ID: id, Type: kind, Subnet: subnetA})
	if err != nil {
		t.Fatal(err)
	}
	return eni
}
func TestSmoke(t *testing.T) {
	sim, c := start(t, ec2sim.Options{})
	eni := run(t, sim, "i-1", "c5.large")
	out, err := c.AssignPrivateIpAddresses(t.Context(), &ec2.AssignPrivateIpAddressesInput{NetworkInterfaceId: &eni.ID, Ipv4PrefixCount: aws.Int32(3), SecondaryPrivateIpAddressCount: aws.Int32(2)})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(len(out.AssignedIpv4Prefixes), *out.AssignedIpv4Prefixes[0].Ipv4Prefix, *out.AssignedPrivateIpAddresses[1].PrivateIpAddress, *out.NetworkInterfaceId)
	d, err := c.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", *d.Reservations[0].Instances[0].NetworkInterfaces[0].PrivateIpAddresses[2].PrivateIpAddress)
	t.Log(sim.Check(), sim.Counts())
}
