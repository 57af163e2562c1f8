package cloud

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// API is what is used of the SDK's EC2 client.
type API interface {
	ec2.DescribeInstancesAPIClient
	ec2.DescribeInstanceTypesAPIClient
	ec2.DescribeNetworkInterfacesAPIClient
	ec2.DescribeSubnetsAPIClient
	GetSubnetCidrReservations(context.Context, *ec2.GetSubnetCidrReservationsInput, ...func(*ec2.Options)) (*ec2.GetSubnetCidrReservationsOutput, error)
	AssignPrivateIpAddresses(context.Context, *ec2.AssignPrivateIpAddressesInput, ...func(*ec2.Options)) (*ec2.AssignPrivateIpAddressesOutput, error)
	UnassignPrivateIpAddresses(context.Context, *ec2.UnassignPrivateIpAddressesInput, ...func(*ec2.Options)) (*ec2.UnassignPrivateIpAddressesOutput, error)
}

// Action is the name of an API action, as IAM policies have it after "ec2:".
type Action string

// The actions that are used: two changes, and the reads.
const (
	Assign                Action = "AssignPrivateIpAddresses"
	Unassign              Action = "UnassignPrivateIpAddresses"
	DescribeInstances     Action = "DescribeInstances"
	DescribeInstanceTypes Action = "DescribeInstanceTypes"
	DescribeInterfaces    Action = "DescribeNetworkInterfaces"
	DescribeSubnets       Action = "DescribeSubnets"
	GetReservations       Action = "GetSubnetCidrReservations"
)

// DefaultBuckets are the token buckets of all actions: half of what EC2 gives an
// account in a region, which Linux nodes' CNI, autoscalers and other clusters share.
// https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html
func DefaultBuckets() map[Action]Bucket {
	change, read := Bucket{Burst: 25, PerSecond: 2.5}, Bucket{Burst: 50, PerSecond: 10}
	return map[Action]Bucket{
		Assign:                change,
		Unassign:              change,
		DescribeInstances:     read,
		DescribeInstanceTypes: read,
		DescribeInterfaces:    read,
		DescribeSubnets:       read,
		GetReservations:       read,
	}
}

// DefaultBatchWindow is short compared with an EC2 call, and long enough for the
// lookups of many nodes to share calls when a cluster starts.
const DefaultBatchWindow = 20 * time.Millisecond

// Options are the settings of a Client. The zero value has the defaults.
type Options struct {
	// Buckets are the token buckets that differ from DefaultBuckets.
	Buckets map[Action]Bucket
	// BatchWindow is how long a lookup waits for others to share its call;
	// 0 means DefaultBatchWindow.
	BatchWindow time.Duration
	// Observe, where set, is told of every call: the action, EC2's error code
	// (empty when it went well, the Class where EC2 gave no code), and how long
	// it took. The SDK's own repetitions of a read are part of one call.
	Observe func(action, code string, took time.Duration)
}

const (
	maxFilterValues = 200  // values of one filter of a describe
	maxPage         = 1000 // things on one page of most describes
	maxTypesPage    = 100  // instance types on one page
	maxSharedCalls  = 5    // shared calls of one action in flight
	maxReadBackoff  = 2 * time.Second
)

// Client is EC2 for the allocator. It is safe for concurrent use.
type Client struct {
	api     API
	observe func(action, code string, took time.Duration)
	buckets map[Action]*bucket
	retryer aws.Retryer // of reads
	health  *health

	instances  *batcher[types.Instance]
	types      *batcher[types.InstanceTypeInfo]
	interfaces *batcher[described]
	limits     sync.Map // instance type -> Limits; a type never changes
}

// New makes a Client on the SDK's client, which Dial gives.
func New(api API, opts Options) *Client {
	c := &Client{api: api, observe: opts.Observe, buckets: map[Action]*bucket{}, retryer: readRetryer(), health: newHealth()}
	sizes := DefaultBuckets()
	maps.Copy(sizes, opts.Buckets)
	for action, size := range sizes {
		c.buckets[action] = newBucket(size)
	}
	window := opts.BatchWindow
	if window == 0 {
		window = DefaultBatchWindow
	}
	c.instances = newBatcher(window, maxFilterValues, maxSharedCalls, c.describeInstances)
	c.types = newBatcher(window, maxTypesPage, maxSharedCalls, c.describeTypes)
	c.interfaces = newBatcher(window, maxFilterValues, maxSharedCalls, c.describeInterfaces)
	return c
}

// readRetryer repeats reads whose connection or server failed, as the SDK does by
// default, within the SDK's own budget of retries for the whole process. It does not
// repeat throttled reads: those wait for their bucket, which slows down.
func readRetryer() aws.Retryer {
	throttled := retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
		if Classify(wrap("", "", err)) == RetryLater {
			return aws.FalseTernary
		}
		return aws.UnknownTernary
	})
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxBackoff = maxReadBackoff
		o.Retryables = append([]retry.IsErrorRetryable{throttled}, o.Retryables...)
	})
}

// Admit waits until a call of an action may be made; Assign and Unassign do not
// wait themselves. The caller then plans what to ask for, so that what came up
// while it waited goes into the same call.
//
// While tokens are short, each goes to the caller that is the most urgent at that
// moment, of equals to the one that has waited longest; one token in eight goes to the
// one that has waited longest of all. The caller keeps u up to date while it waits. An
// error is that of ctx.
func (c *Client) Admit(ctx context.Context, action Action, u *Urgency) error {
	if err := c.buckets[action].take(ctx, u); err != nil {
		return fmt.Errorf("wait for a turn to call %s: %w", action, err)
	}
	return nil
}

// call makes one call of EC2, reports it to Options.Observe, and slows the action's
// bucket down if EC2 throttles. It also returns when the call was sent.
func call[Out any](ctx context.Context, c *Client, action Action, id string, f func(context.Context) (Out, error)) (Out, time.Time, error) {
	sent := time.Now()
	out, err := f(ctx)
	err = wrap(action, id, err)
	if c.observe != nil {
		c.observe(string(action), code(err), time.Since(sent))
	}
	class := Classify(err)
	c.health.note(action, class, time.Now())
	if class == RetryLater {
		c.buckets[action].throttled(sent)
	}
	return out, sent, err
}

// code is what an error is counted under.
func code(err error) string {
	e, ok := errors.AsType[*Error](err)
	switch {
	case !ok:
		return ""
	case e.Code == "":
		return e.Class.String()
	default:
		return e.Code
	}
}

// paginator is one of the SDK's.
type paginator[Out any] interface {
	HasMorePages() bool
	NextPage(context.Context, ...func(*ec2.Options)) (Out, error)
}

// pages follows a paginator to its end. Each page waits for a token; a page that EC2
// throttles waits for the next token, until ctx ends.
func pages[Out any](ctx context.Context, c *Client, action Action, id string, p paginator[Out], each func(page Out, sent time.Time)) error {
	repeat := func(o *ec2.Options) { o.Retryer = c.retryer }
	for p.HasMorePages() {
		if err := c.Admit(ctx, action, forRead()); err != nil {
			return err
		}
		page, sent, err := call(ctx, c, action, id, func(ctx context.Context) (Out, error) { return p.NextPage(ctx, repeat) })
		switch Classify(err) {
		case None:
			each(page, sent)
		case RetryLater:
		default:
			return err
		}
	}
	return nil
}
