package survey

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"slotwise.dev/slotwise/allocator/cloud"
)

// Pace is the most that EC2 is asked: a burst at the start, and then so many calls a
// second of each read action. EC2 gives an account 100 and 20 in a region, which all its
// clients share.
// https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html
var Pace = cloud.Bucket{Burst: 20, PerSecond: 2}

// EC2 looks at instances and subnets, and remembers of an instance what does not change.
// It is not safe for concurrent use.
type EC2 struct {
	client   *cloud.Client
	machines map[string]Machine
}

// NewEC2 looks through a client of the SDK, no faster than Pace. It makes no call that
// changes anything.
func NewEC2(api cloud.API) *EC2 {
	paces := map[cloud.Action]cloud.Bucket{}
	for action := range cloud.DefaultBuckets() {
		paces[action] = Pace
	}
	return &EC2{client: cloud.New(api, cloud.Options{Buckets: paces}), machines: map[string]Machine{}}
}

// Look looks at instances and at the subnets of their primary interfaces: a call for 200
// instances that are new, one for their types, and for each subnet three calls and one
// more for each further 1,000 interfaces in it. What EC2 does not tell is an Err in the
// result.
func (e *EC2) Look(ctx context.Context, instances []string) Shown {
	shown := Shown{Machines: map[string]Machine{}, Subnets: map[string]SubnetShown{}, At: time.Now()}
	e.lookUp(ctx, instances)
	for _, id := range instances {
		m := e.machines[id]
		shown.Machines[id] = m
		if m.Err == nil {
			shown.Subnets[m.SubnetID] = SubnetShown{}
		}
	}
	var mu sync.Mutex
	var group sync.WaitGroup
	for _, id := range slices.Collect(maps.Keys(shown.Subnets)) { // which the looks then fill in
		group.Go(func() {
			s, err := e.client.Subnet(ctx, id)
			mu.Lock()
			defer mu.Unlock()
			shown.Subnets[id] = SubnetShown{s, err}
		})
	}
	group.Wait()
	e.forget(shown)
	return shown
}

// lookUp finds out what the instances are that are not known yet.
func (e *EC2) lookUp(ctx context.Context, instances []string) {
	found := make([]Machine, len(instances))
	var group sync.WaitGroup
	for i, id := range instances {
		if m, known := e.machines[id]; known && m.Err == nil {
			found[i] = m
			continue
		}
		group.Go(func() { found[i] = e.machine(ctx, id) })
	}
	group.Wait()
	e.machines = map[string]Machine{}
	for i, id := range instances {
		e.machines[id] = found[i]
	}
}

func (e *EC2) machine(ctx context.Context, id string) (m Machine) {
	if m.Instance, m.Err = e.client.Instance(ctx, id); m.Err == nil {
		m.Limits, m.Err = e.client.Limits(ctx, m.Type)
	}
	return m
}

// forget forgets instances whose interface is not where it was: they are looked up again.
func (e *EC2) forget(shown Shown) {
	for id, m := range e.machines {
		s := shown.Subnets[m.SubnetID]
		if _, has := s.Interfaces[m.PrimaryENI]; s.Err == nil && !has {
			delete(e.machines, id)
		}
	}
}

// Failure is an error of EC2 where nothing at all could be looked at; nil: some of it
// could, or there is nothing.
func (s Shown) Failure() (err error) {
	for _, m := range s.Machines {
		if m.Err != nil {
			err = m.Err
		}
	}
	for _, x := range s.Subnets {
		if x.Err == nil {
			return nil
		}
		err = x.Err
	}
	return err
}
