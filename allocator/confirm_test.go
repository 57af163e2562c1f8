package allocator

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/ledger"
)

// oneInterface is an EC2 that has one network interface and describes it.
type oneInterface struct {
	cloud.API
	mu       sync.Mutex
	prefixes []netip.Prefix
	looks    int
}

func (e *oneInterface) DescribeNetworkInterfaces(context.Context, *ec2.DescribeNetworkInterfacesInput, ...func(*ec2.Options)) (*ec2.DescribeNetworkInterfacesOutput, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.looks++
	i := ec2types.NetworkInterface{NetworkInterfaceId: aws.String("eni-1")}
	for _, p := range e.prefixes {
		i.Ipv4Prefixes = append(i.Ipv4Prefixes, ec2types.Ipv4PrefixSpecification{Ipv4Prefix: aws.String(p.String())})
	}
	return &ec2.DescribeNetworkInterfacesOutput{NetworkInterfaces: []ec2types.NetworkInterface{i}}, nil
}

// I10: what cools is looked at in time to be free when it has cooled, with a bounded
// number of calls; and what another client has taken meanwhile is not given.
func TestI10CooldownIsTimeToLook(t *testing.T) {
	for name, there := range map[string]bool{"it is still there": true, "another client has taken it": false} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T, a *Allocator, n *node) {
				eni := &oneInterface{prefixes: []netip.Prefix{prefix}}
				a.cloud = cloud.New(eni, cloud.Options{})
				n.eni = "eni-1"
				fullNode(a, n)
				ctx, cancel := context.WithCancel(t.Context())
				go every(ctx, tickEvery, a.tick)
				go every(ctx, confirmEvery, a.confirm)
				time.Sleep(time.Minute)
				if eni.looks > 0 {
					t.Errorf("%d looks though nothing cools", eni.looks)
				}
				for _, uid := range []types.UID{"a", "b", "c"} {
					a.pods.ended(uid, 0)
				}
				if !there {
					eni.mu.Lock()
					eni.prefixes = nil
					eni.mu.Unlock()
				}
				time.Sleep(ledger.Cooldown + 2*tickEvery)
				cancel()
				n.mu.Lock()
				defer n.mu.Unlock()
				_, given := n.ledger.Take("new")
				if given != there {
					t.Errorf("given: %t, want %t", given, there)
				}
				if n.doubted == there {
					t.Errorf("doubted: %t", n.doubted)
				}
				if there && eni.looks != 1 {
					t.Errorf("%d looks, want 1", eni.looks)
				}
			})
		})
	}
}
