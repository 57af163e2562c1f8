package ec2sim_test

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"slotwise.dev/slotwise/test/ec2sim"
)

// serve serves an EC2 with instances in one /16, each with 14 prefixes.
func serve(b *testing.B, instances int) (*ec2sim.Server, *ec2.Client) {
	b.Helper()
	sim := ec2sim.New(ec2sim.Options{})
	url, err := sim.Start("127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(sim.Close)
	if err := sim.AddSubnet("s", "z", cidr("10.0.0.0/16")); err != nil {
		b.Fatal(err)
	}
	for i := range instances {
		eni, err := sim.AddInstance(ec2sim.Instance{ID: fmt.Sprintf("i-%05d", i), Type: "m5.xlarge", Subnet: "s"})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := sim.Assign(eni.ID, ec2sim.Request{PrefixCount: 7, AddressCount: 7}); err != nil {
			b.Fatal(err)
		}
	}
	return sim, sdk(url)
}

// BenchmarkDescribe500 is one DescribeNetworkInterfaces of 500 interfaces, the
// SDK's side included.
func BenchmarkDescribe500(b *testing.B) {
	_, client := serve(b, 500)
	for b.Loop() {
		if _, err := client.DescribeNetworkInterfaces(b.Context(), &ec2.DescribeNetworkInterfacesInput{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkServe500 is the same without the SDK and the network.
func BenchmarkServe500(b *testing.B) {
	sim, _ := serve(b, 500)
	for b.Loop() {
		post(sim, "Action=DescribeNetworkInterfaces")
	}
}

// BenchmarkCalls is a pair of calls that assign and unassign a prefix, from
// several clients at once.
func BenchmarkCalls(b *testing.B) {
	sim, client := serve(b, 100)
	ids := make(chan string, 100)
	for _, eni := range sim.Interfaces() {
		if err := sim.Unassign(eni.ID, ec2sim.Slots{Prefixes: eni.Prefixes[:1]}); err != nil {
			b.Fatal(err)
		}
		ids <- eni.ID
	}
	b.SetParallelism(8)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			id := <-ids
			out, err := client.AssignPrivateIpAddresses(b.Context(), &ec2.AssignPrivateIpAddressesInput{
				NetworkInterfaceId: &id, Ipv4PrefixCount: aws.Int32(1),
			})
			if err != nil {
				b.Error(err)
				return
			}
			if _, err := client.UnassignPrivateIpAddresses(b.Context(), &ec2.UnassignPrivateIpAddressesInput{
				NetworkInterfaceId: &id, Ipv4Prefixes: []string{*out.AssignedIpv4Prefixes[0].Ipv4Prefix},
			}); err != nil {
				b.Error(err)
				return
			}
			ids <- id
		}
	})
	b.ReportMetric(2*float64(b.N)/b.Elapsed().Seconds(), "calls/s")
	if err := sim.Check(); err != nil {
		b.Error(err)
	}
}
