package ec2sim_test

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/smithy-go"

	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/ec2sim"
)

const subnetA = "subnet-a"

// sdk is the real SDK's client, which asks once and does not retry.
func sdk(url string) *ec2.Client {
	return ec2.New(ec2.Options{
		Region:       "eu-west-1",
		BaseEndpoint: &url,
		Credentials:  credentials.NewStaticCredentialsProvider("id", "secret", ""),
		Retryer:      aws.NopRetryer{},
	})
}

// start serves an EC2 with the subnet 10.0.0.0/24, and checks it at the end.
func start(t *testing.T, o ec2sim.Options) (*ec2sim.Server, *ec2.Client) {
	t.Helper()
	sim := ec2sim.New(o)
	url, err := sim.Start("127.0.0.1:0")
	check.Must(t, err)
	t.Cleanup(sim.Close)
	t.Cleanup(func() {
		if err := sim.Check(); err != nil {
			t.Errorf("Check() = %v", err)
		}
	})
	check.Must(t, sim.AddSubnet(subnetA, "eu-west-1a", cidr("10.0.0.0/24")))
	return sim, sdk(url)
}

// run starts an instance in subnet-a and returns its primary interface.
func run(t *testing.T, sim *ec2sim.Server, id, kind string) ec2sim.Interface {
	t.Helper()
	eni, err := sim.AddInstance(ec2sim.Instance{ID: id, Type: kind, Subnet: subnetA})
	check.Must(t, err)
	return eni
}

// codeOf is the error code as a client of the SDK sees it; empty for no error.
func codeOf(t *testing.T, err error) string {
	t.Helper()
	var refusal smithy.APIError
	if err != nil && !errors.As(err, &refusal) {
		t.Fatalf("%v is no answer of EC2", err)
	}
	if err == nil {
		return ""
	}
	return refusal.ErrorCode()
}

func cidr(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func cidrs(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range texts {
		out = append(out, cidr(s))
	}
	return out
}

func addrs(texts ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range texts {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// codeOfMethod is the error code of what a method refused; empty for another
// error or none.
func codeOfMethod(err error) string {
	if refusal, ok := errors.AsType[*ec2sim.Error](err); ok {
		return refusal.Code
	}
	return ""
}
