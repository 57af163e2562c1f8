package ec2

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/test/ec2sim"
	"slotwise.dev/slotwise/test/sim/process"
)

// serve makes an EC2 with one instance.
func serve(t *testing.T, o ec2sim.Options) (server *ec2sim.Server, eni string) {
	t.Helper()
	server = ec2sim.New(o)
	t.Cleanup(server.Close)
	if err := server.AddSubnet("subnet-1", "us-west-2a", netip.MustParsePrefix("10.0.0.0/24")); err != nil {
		t.Fatal(err)
	}
	i, err := server.AddInstance(ec2sim.Instance{ID: "i-1", Type: "c5.large", Subnet: "subnet-1"})
	if err != nil {
		t.Fatal(err)
	}
	return server, i.ID
}

// slow is EC2 as it is on most days.
func slow() ec2sim.Options {
	return ec2sim.Options{Seed: 1, PageSize: 5, Latency: map[string]ec2sim.Latency{ec2sim.AnyAction: {Mean: 80 * time.Millisecond, Jitter: 20 * time.Millisecond}}}
}

// All that allocator/cloud asks for comes as it would over HTTP.
func TestCloud(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		server, eni := serve(t, slow())
		if _, err := server.AddReservation("subnet-1", netip.MustParsePrefix("10.0.0.64/26"), ec2sim.ReservedForPrefixes); err != nil {
			t.Fatal(err)
		}
		c := cloud.New(NewClient(server, nil), cloud.Options{})
		i, err := c.Instance(ctx, "i-1")
		if err != nil || i.PrimaryENI != eni || i.SubnetID != "subnet-1" || i.Type != "c5.large" || i.State != "running" || i.DNSName == "" {
			t.Errorf("instance %+v, %v", i, err)
		}
		if limits, err := c.Limits(ctx, "c5.large"); err != nil || limits != (cloud.Limits{AddressesPerInterface: 10, Nitro: true}) {
			t.Errorf("limits %+v, %v", limits, err)
		}
		prefixes, err := c.Assign(ctx, eni, ledger.Prefix, 2)
		if want := []netip.Prefix{netip.MustParsePrefix("10.0.0.64/28"), netip.MustParsePrefix("10.0.0.80/28")}; err != nil || !slices.Equal(prefixes, want) {
			t.Errorf("prefixes %v, %v, want %v", prefixes, err, want)
		}
		addresses, err := c.Assign(ctx, eni, ledger.SecondaryIP, 3)
		if err != nil || len(addresses) != 3 {
			t.Errorf("addresses %v, %v", addresses, err)
		}
		if err := c.Unassign(ctx, eni, addresses[:1]); err != nil {
			t.Error(err)
		}
		found, err := c.Interface(ctx, eni)
		if want := slices.Concat(addresses[1:], prefixes); err != nil || !slices.Equal(found.Blocks, want) || found.InstanceID != "i-1" {
			t.Errorf("interface %+v, %v, want %v", found, err, want)
		}
		s, err := c.Subnet(ctx, "subnet-1")
		if err != nil || s.CIDR.String() != "10.0.0.0/24" || len(s.Used) != 5 || len(s.Reservations) != 1 || s.Available != 256-5-64-3 {
			t.Errorf("subnet %+v, %v", s, err)
		}
		if _, err := c.Instance(ctx, "i-2"); cloud.Classify(err) != cloud.Gone {
			t.Errorf("an instance that is not there: %v", err)
		}
	})
}

func TestFaults(t *testing.T) {
	cases := map[string]struct {
		fault ec2sim.Fault
		class cloud.Class
		code  string // that is counted
		done  bool
	}{
		"throttled":        {fault: ec2sim.Fault{Kind: ec2sim.Throttle}, class: cloud.RetryLater, code: "RequestLimitExceeded"},
		"not allowed":      {fault: ec2sim.Fault{Kind: ec2sim.Refuse, Code: "UnauthorizedOperation"}, class: cloud.Refused, code: "UnauthorizedOperation"},
		"no room":          {fault: ec2sim.Fault{Kind: ec2sim.Refuse, Code: ec2sim.CodeInsufficientBlocks}, class: cloud.NoRoom, code: "InsufficientCidrBlocks"},
		"out of step":      {fault: ec2sim.Fault{Kind: ec2sim.Refuse, Code: ec2sim.CodeLimitExceeded}, class: cloud.OutOfStep, code: "PrivateIpAddressLimitExceeded"},
		"EC2 errs":         {fault: ec2sim.Fault{Kind: ec2sim.Refuse, Code: "InternalError"}, class: cloud.Lost, code: "InternalError"},
		"it errs, done":    {fault: ec2sim.Fault{Kind: ec2sim.RefuseDone}, class: cloud.Lost, code: "InternalError", done: true},
		"unknown, with 5x": {fault: ec2sim.Fault{Kind: ec2sim.Refuse, Code: "Unavailable"}, class: cloud.Lost, code: "Unavailable"},
		"a lost request":   {fault: ec2sim.Fault{Kind: ec2sim.DropBefore}, class: cloud.Lost, code: "lost"},
		"a lost answer":    {fault: ec2sim.Fault{Kind: ec2sim.DropAfter}, class: cloud.Lost, code: "lost", done: true},
		"no answer":        {fault: ec2sim.Fault{Kind: ec2sim.DelayAfter, Delay: time.Minute}, class: cloud.Lost, code: "lost", done: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, eni := serve(t, slow())
				server.Inject(c.fault)
				var codes []string
				client := cloud.New(NewClient(server, nil), cloud.Options{Observe: func(_, code string, _ time.Duration) { codes = append(codes, code) }})
				start := time.Now()
				_, err := client.Assign(t.Context(), eni, ledger.Prefix, 1)
				if cloud.Classify(err) != c.class || !slices.Equal(codes, []string{c.code}) {
					t.Errorf("class %v of %v, counted as %q", cloud.Classify(err), err, codes)
				}
				if took := time.Since(start); took > attemptTimeout {
					t.Errorf("took %v", took)
				}
				if i, _ := server.Interface(eni); (len(i.Prefixes) == 1) != c.done {
					t.Errorf("the interface has %v", i.Prefixes)
				}
				time.Sleep(time.Hour)
			})
		})
	}
}

// What EC2 does after its client has given up, it does all the same.
func TestLateCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, eni := serve(t, slow())
		server.Inject(ec2sim.Fault{Kind: ec2sim.DelayBefore, Delay: 20 * time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := cloud.New(NewClient(server, nil), cloud.Options{}).Assign(ctx, eni, ledger.Prefix, 1)
		if cloud.Classify(err) != cloud.Lost || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error is %v", err)
		}
		if i, _ := server.Interface(eni); len(i.Prefixes) != 0 {
			t.Error("done before its time")
		}
		time.Sleep(time.Minute)
		if i, _ := server.Interface(eni); len(i.Prefixes) != 1 {
			t.Error("not done")
		}
	})
}

// Reads are repeated as the SDK repeats them.
func TestReadsAreRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, eni := serve(t, slow())
		server.Inject(ec2sim.Fault{Kind: ec2sim.DropBefore, Times: 2})
		if _, err := cloud.New(NewClient(server, nil), cloud.Options{}).Interface(t.Context(), eni); err != nil {
			t.Error(err)
		}
		if n := server.Counts()["DescribeNetworkInterfaces"]; n != 3 {
			t.Errorf("%d requests, want 3", n)
		}
	})
}

// A later look may show an older state.
func TestLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, eni := serve(t, ec2sim.Options{Seed: 1})
		c := cloud.New(NewClient(server, nil), cloud.Options{})
		time.Sleep(time.Minute)
		if _, err := c.Assign(t.Context(), eni, ledger.Prefix, 1); err != nil {
			t.Fatal(err)
		}
		server.SetLagBetween(0, 10*time.Second)
		time.Sleep(5 * time.Second)
		seen := map[int]int{}
		for range 50 {
			i, err := c.Interface(t.Context(), eni)
			if err != nil {
				t.Fatal(err)
			}
			seen[len(i.Blocks)]++
		}
		if seen[0] == 0 || seen[1] == 0 {
			t.Errorf("seen by number of prefixes: %v", seen)
		}
	})
}

func TestProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, eni := serve(t, slow())
		p := process.New(t.Context(), "replica")
		c := cloud.New(NewClient(server, p), cloud.Options{})
		start := time.Now()
		p.FreezeAt(0, time.Minute)
		if _, err := c.Assign(t.Context(), eni, ledger.Prefix, 1); err != nil || time.Since(start) < time.Minute {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		p.CrashAt(1)
		if _, err := c.Assign(t.Context(), eni, ledger.Prefix, 1); err != nil {
			t.Error(err)
		}
		if _, err := c.Assign(t.Context(), eni, ledger.Prefix, 1); !errors.Is(err, process.ErrCrashed) {
			t.Errorf("error is %v", err)
		}
		if i, _ := server.Interface(eni); len(i.Prefixes) != 2 {
			t.Errorf("the interface has %v", i.Prefixes)
		}
	})
}

func TestOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, eni := serve(t, slow())
		o := NewOthers(server, 1)
		if gone, err := o.Take(eni); err != nil || len(gone.Addresses)+len(gone.Prefixes) != 0 {
			t.Errorf("took %v of nothing, %v", gone, err)
		}
		for range 20 {
			if _, err := o.Give(eni, true); err != nil {
				t.Fatal(err)
			}
		}
		i, _ := server.Interface(eni)
		if len(i.Prefixes) != 9 {
			t.Errorf("gave %d prefixes, want all 9 slots full", len(i.Prefixes))
		}
		if gone, err := o.Take(eni); err != nil || len(gone.Prefixes) != 1 {
			t.Errorf("took %v, %v", gone, err)
		}
		free := len(server.FreeAddresses("subnet-1"))
		giveBack, err := o.Occupy("subnet-1", 10, true)
		if err != nil || len(server.FreeAddresses("subnet-1")) != free-10 {
			t.Errorf("%d of %d free addresses are left, %v", len(server.FreeAddresses("subnet-1")), free, err)
		}
		giveBack()
		if len(server.FreeAddresses("subnet-1")) != free {
			t.Error("not given back")
		}
	})
}
