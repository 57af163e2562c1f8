package cloud_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/subnet"
	"slotwise.dev/slotwise/test/ec2sim"
)

// These tests talk over HTTP, through the real SDK, to a simulated EC2.

const subnetID = "subnet-a"

// dial makes a Client of the EC2 at a URL.
func dial(t *testing.T, url string, o cloud.Options) *cloud.Client {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	api, err := cloud.Dial(t.Context(), "eu-west-1", url)
	if err != nil {
		t.Fatal(err)
	}
	return cloud.New(api, o)
}

// simulate starts an EC2 with one subnet.
func simulate(t *testing.T, cidr string, o ec2sim.Options) (*ec2sim.Server, *cloud.Client) {
	t.Helper()
	sim := ec2sim.New(o)
	url, err := sim.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sim.Close)
	if err := sim.AddSubnet(subnetID, "eu-west-1a", netip.MustParsePrefix(cidr)); err != nil {
		t.Fatal(err)
	}
	return sim, dial(t, url, cloud.Options{})
}

// run starts an instance, and returns its primary interface.
func run(t *testing.T, sim *ec2sim.Server, id, instanceType string) ec2sim.Interface {
	t.Helper()
	eni, err := sim.AddInstance(ec2sim.Instance{ID: id, Type: instanceType, Subnet: subnetID})
	if err != nil {
		t.Fatal(err)
	}
	return eni
}

func wantClass(t *testing.T, err error, want cloud.Class) {
	t.Helper()
	if got := cloud.Classify(err); got != want {
		t.Errorf("class is %v, want %v: %v", got, want, err)
	}
}

// wantCalls checks how often EC2 was really asked.
func wantCalls(t *testing.T, sim *ec2sim.Server, action cloud.Action, want int) {
	t.Helper()
	if got := sim.Counts()[string(action)]; got != want {
		t.Errorf("%d calls of %s, want %d", got, action, want)
	}
}

func TestLookups(t *testing.T) {
	sim, c := simulate(t, "10.0.0.0/24", ec2sim.Options{})
	eni := run(t, sim, "i-1", "t3.xlarge")
	if _, err := sim.AddInterface("i-1", 1); err != nil {
		t.Fatal(err)
	}
	slots, err := sim.Assign(eni.ID, ec2sim.Request{AddressCount: 2, PrefixCount: 1})
	if err != nil {
		t.Fatal(err)
	}

	i, err := c.Instance(t.Context(), "i-1")
	if want := (cloud.Instance{ID: "i-1", Type: "t3.xlarge", PrimaryENI: eni.ID, SubnetID: subnetID, State: "running", DNSName: "ip-10-0-0-4.eu-west-1.compute.internal"}); i != want || err != nil {
		t.Errorf("instance is %+v, %v, want %+v", i, err, want)
	}
	limits, err := c.Limits(t.Context(), "t3.xlarge")
	if want := (cloud.Limits{AddressesPerInterface: 15, Nitro: true}); limits != want || err != nil {
		t.Errorf("limits are %+v, %v, want %+v", limits, err, want)
	}
	before := time.Now()
	got, err := c.Interface(t.Context(), eni.ID)
	if err != nil {
		t.Fatal(err)
	}
	var blocks []netip.Prefix
	for _, a := range slots.Addresses {
		blocks = append(blocks, netip.PrefixFrom(a, 32))
	}
	blocks = append(blocks, slots.Prefixes...)
	if !slices.Equal(got.Blocks, blocks) {
		t.Errorf("blocks are %v, want %v", got.Blocks, blocks)
	}
	if got.InstanceID != "i-1" || got.SubnetID != subnetID || got.Primary != eni.Primary {
		t.Errorf("interface is %+v, want the one of %+v", got, eni)
	}
	if got.AsOf.Before(before) || got.AsOf.After(time.Now()) {
		t.Errorf("as of %v, which is not when it was asked", got.AsOf)
	}
}

// One bad id among many is the bad luck of its own caller.
func TestLookupsOfWhatIsNotThere(t *testing.T) {
	sim, c := simulate(t, "10.0.0.0/24", ec2sim.Options{})
	eni := run(t, sim, "i-1", "t3.xlarge")
	ended := run(t, sim, "i-2", "t3.xlarge")
	if err := sim.Terminate("i-2"); err != nil {
		t.Fatal(err)
	}
	ask := map[string]func() error{
		"instance":            func() error { _, err := c.Instance(t.Context(), "i-1"); return err },
		"missing instance":    func() error { _, err := c.Instance(t.Context(), "i-9"); return err },
		"terminated instance": func() error { _, err := c.Instance(t.Context(), "i-2"); return err },
		"interface":           func() error { _, err := c.Interface(t.Context(), eni.ID); return err },
		"missing interface":   func() error { _, err := c.Interface(t.Context(), "eni-9"); return err },
		"deleted interface":   func() error { _, err := c.Interface(t.Context(), ended.ID); return err },
		"type":                func() error { _, err := c.Limits(t.Context(), "t3.xlarge"); return err },
		"unknown type":        func() error { _, err := c.Limits(t.Context(), "x9.huge"); return err },
		"missing subnet":      func() error { _, err := c.Subnet(t.Context(), "subnet-z"); return err },
	}
	want := map[string]cloud.Class{
		"missing instance":    cloud.Gone,
		"terminated instance": cloud.Gone,
		"missing interface":   cloud.Gone,
		"deleted interface":   cloud.Gone,
		"unknown type":        cloud.Refused,
		"missing subnet":      cloud.Gone,
	}
	var group sync.WaitGroup
	for name, f := range ask {
		group.Go(func() {
			if err := f(); cloud.Classify(err) != want[name] {
				t.Errorf("%s: class is %v, want %v: %v", name, cloud.Classify(err), want[name], err)
			}
		})
	}
	group.Wait()
	wantCalls(t, sim, cloud.DescribeInstances, 1)
	wantCalls(t, sim, cloud.DescribeInstanceTypes, 1)
}

func TestSubnet(t *testing.T) {
	sim, c := simulate(t, "10.0.0.0/24", ec2sim.Options{PageSize: 3})
	var want []netip.Prefix
	for i := range 10 {
		eni := run(t, sim, fmt.Sprint("i-", i), "t3.xlarge")
		want = append(want, netip.PrefixFrom(eni.Primary, 32))
	}
	enis := sim.Interfaces()
	slots, err := sim.Assign(enis[0].ID, ec2sim.Request{AddressCount: 2, PrefixCount: 2})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range slots.Addresses {
		want = append(want, netip.PrefixFrom(a, 32))
	}
	want = append(want, slots.Prefixes...)
	var reservations []subnet.Reservation
	for i, kind := range []string{"prefix", "explicit", "prefix", "explicit"} {
		cidr := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(128 + 16*i)}), 28)
		if _, err := sim.AddReservation(subnetID, cidr, ec2sim.ReservationKind(kind)); err != nil {
			t.Fatal(err)
		}
		reservations = append(reservations, subnet.Reservation{CIDR: cidr, Kind: subnet.ReservationKind(kind)})
	}

	got, err := c.Subnet(t.Context(), subnetID)
	if err != nil {
		t.Fatal(err)
	}
	if got.AvailabilityZone != "eu-west-1a" || got.CIDR != netip.MustParsePrefix("10.0.0.0/24") {
		t.Errorf("subnet is %+v", got)
	}
	// 256, without the five that AWS keeps, what is assigned and the reserved.
	if wantFree := 256 - 5 - 10 - 2 - 32 - 64; got.Available != wantFree {
		t.Errorf("%d available, want %d", got.Available, wantFree)
	}
	byAddress := func(a, b netip.Prefix) int { return a.Compare(b) }
	slices.SortFunc(want, byAddress)
	slices.SortFunc(got.Used, byAddress)
	if !slices.Equal(got.Used, want) {
		t.Errorf("used is %v, want %v", got.Used, want)
	}
	if first, second := got.Interfaces[enis[0].ID], got.Interfaces[enis[1].ID]; len(got.Interfaces) != len(enis) || len(first) != 4 || len(second) != 0 {
		t.Errorf("interfaces are %v, want %d, of which the first has 4 blocks and the second none", got.Interfaces, len(enis))
	}
	slices.SortFunc(got.Reservations, func(a, b subnet.Reservation) int { return byAddress(a.CIDR, b.CIDR) })
	if !slices.Equal(got.Reservations, reservations) {
		t.Errorf("reservations are %v, want %v", got.Reservations, reservations)
	}
	wantCalls(t, sim, cloud.DescribeInterfaces, 4)
	wantCalls(t, sim, cloud.GetReservations, 2)
}

// A cluster of 500 nodes starts: 1,500 lookups with 80 ms a call, at AWS's own
// limits, take a few calls and seconds at most.
func TestManyLookups(t *testing.T) {
	sim, c := simulate(t, "10.0.0.0/20", ec2sim.Options{
		PageSize: 100,
		Latency:  map[string]ec2sim.Latency{ec2sim.AnyAction: {Mean: 80 * time.Millisecond}},
		Throttle: ec2sim.AWSThrottling(),
	})
	const nodes = 500
	for i := range nodes {
		run(t, sim, fmt.Sprint("i-", i), []string{"t3.xlarge", "m5.xlarge", "c5.large"}[i%3])
	}
	start := time.Now()
	var group sync.WaitGroup
	for i := range nodes {
		group.Go(func() {
			instance, err := c.Instance(t.Context(), fmt.Sprint("i-", i))
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := c.Limits(t.Context(), instance.Type); err != nil {
				t.Error(err)
			}
			if eni, err := c.Interface(t.Context(), instance.PrimaryENI); err != nil || eni.InstanceID != instance.ID {
				t.Errorf("interface of %s: %+v, %v", instance.ID, eni, err)
			}
		})
	}
	group.Wait()
	t.Logf("took %v, calls %v", time.Since(start), sim.Counts())
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	if calls := len(sim.Calls()); calls > 20 {
		t.Errorf("%d calls, want at most 20", calls)
	}
	if errors := sim.Errors(); len(errors) > 0 {
		t.Errorf("errors %v", errors)
	}
}

func TestAssignAndUnassign(t *testing.T) {
	for _, kind := range []ledger.Kind{ledger.SecondaryIP, ledger.Prefix} {
		t.Run(kind.String(), func(t *testing.T) {
			sim, c := simulate(t, "10.0.0.0/24", ec2sim.Options{})
			eni := run(t, sim, "i-1", "t3.xlarge")
			blocks, err := c.Assign(t.Context(), eni.ID, kind, 3)
			if err != nil || len(blocks) != 3 {
				t.Fatalf("got %v, %v, want 3 blocks", blocks, err)
			}
			if got, err := c.Interface(t.Context(), eni.ID); err != nil || !slices.Equal(got.Blocks, blocks) {
				t.Errorf("EC2 has %v, %v, want %v", got.Blocks, err, blocks)
			}
			if err := c.Unassign(t.Context(), eni.ID, blocks[:2]); err != nil {
				t.Fatal(err)
			}
			if got, err := c.Interface(t.Context(), eni.ID); err != nil || !slices.Equal(got.Blocks, blocks[2:]) {
				t.Errorf("EC2 has %v, %v, want %v", got.Blocks, err, blocks[2:])
			}
			wantCalls(t, sim, cloud.Assign, 1)
			wantCalls(t, sim, cloud.Unassign, 1)
			if err := sim.Check(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	sim, c := simulate(t, "10.0.0.0/26", ec2sim.Options{})
	eni := run(t, sim, "i-1", "t3.small")
	full := run(t, sim, "i-2", "m5.24xlarge")
	xen := run(t, sim, "i-3", "t2.large")
	if _, err := sim.Occupy(subnetID, netip.MustParsePrefix("10.0.0.16/28")); err != nil {
		t.Fatal(err)
	}
	assign := func(eni string, kind ledger.Kind, n int) error {
		_, err := c.Assign(t.Context(), eni, kind, n)
		return err
	}
	cases := map[string]struct {
		err  error
		want cloud.Class
	}{
		"no /28 left":         {err: assign(full.ID, ledger.Prefix, 3), want: cloud.NoRoom},
		"no address left":     {err: assign(full.ID, ledger.SecondaryIP, 49), want: cloud.NoRoom},
		"more than slots":     {err: assign(eni.ID, ledger.SecondaryIP, 4), want: cloud.OutOfStep},
		"no such interface":   {err: assign("eni-9", ledger.SecondaryIP, 1), want: cloud.Gone},
		"prefixes on Xen":     {err: assign(xen.ID, ledger.Prefix, 1), want: cloud.Refused},
		"not on the ENI":      {err: c.Unassign(t.Context(), eni.ID, []netip.Prefix{netip.MustParsePrefix("10.0.0.60/32")}), want: cloud.OutOfStep},
		"the ENI is not here": {err: c.Unassign(t.Context(), "eni-9", []netip.Prefix{netip.MustParsePrefix("10.0.0.60/32")}), want: cloud.Gone},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) { wantClass(t, tc.err, tc.want) })
	}
	for _, call := range sim.Calls() {
		if call.Applied {
			t.Errorf("it was done: %+v", call)
		}
	}
}

// A change whose answer was lost is sent once. A lookup says what became of it.
func TestLostChangeIsNotRepeated(t *testing.T) {
	cases := map[string]struct {
		fault ec2sim.Fault
		want  cloud.Class
		done  bool
	}{
		"dropped before":          {fault: ec2sim.Fault{Kind: ec2sim.DropBefore}, want: cloud.Lost},
		"dropped although done":   {fault: ec2sim.Fault{Kind: ec2sim.DropAfter}, want: cloud.Lost, done: true},
		"an error, not done":      {fault: ec2sim.Fault{Kind: ec2sim.Refuse, Code: "InternalError"}, want: cloud.Lost},
		"an error although done":  {fault: ec2sim.Fault{Kind: ec2sim.RefuseDone, Code: "Unavailable"}, want: cloud.Lost, done: true},
		"too late, although done": {fault: ec2sim.Fault{Kind: ec2sim.DelayAfter, Delay: 10 * time.Second}, want: cloud.Lost, done: true},
		"throttled":               {fault: ec2sim.Fault{Kind: ec2sim.Throttle}, want: cloud.RetryLater},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			sim, c := simulate(t, "10.0.0.0/24", ec2sim.Options{})
			eni := run(t, sim, "i-1", "t3.xlarge")
			tc.fault.Action = string(cloud.Assign)
			sim.Inject(tc.fault)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			_, err := c.Assign(ctx, eni.ID, ledger.Prefix, 2)
			wantClass(t, err, tc.want)
			wantCalls(t, sim, cloud.Assign, 1)
			got, err := c.Interface(t.Context(), eni.ID)
			if done := len(got.Blocks) == 2; err != nil || done != tc.done {
				t.Errorf("looked up %v, %v, want done: %v", got.Blocks, err, tc.done)
			}
		})
	}
}

// Reads are repeated: by the SDK when the connection or EC2 fails, by the bucket
// when EC2 throttles.
func TestReadIsRepeated(t *testing.T) {
	cases := map[string]struct {
		fault ec2sim.Fault
		want  cloud.Class
		calls int
	}{
		"connection dropped once": {fault: ec2sim.Fault{Kind: ec2sim.DropBefore, Times: 1}, calls: 2},
		"EC2 breaks down once":    {fault: ec2sim.Fault{Kind: ec2sim.Refuse, Times: 1}, calls: 2},
		"throttled twice":         {fault: ec2sim.Fault{Kind: ec2sim.Throttle, Times: 2}, calls: 3},
		"EC2 stays away":          {fault: ec2sim.Fault{Kind: ec2sim.Refuse}, want: cloud.Lost, calls: 3},
		"not allowed":             {fault: ec2sim.Fault{Kind: ec2sim.Refuse, Code: "UnauthorizedOperation"}, want: cloud.Refused, calls: 1},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			sim, c := simulate(t, "10.0.0.0/24", ec2sim.Options{})
			eni := run(t, sim, "i-1", "t3.xlarge")
			sim.Inject(tc.fault)
			_, err := c.Interface(t.Context(), eni.ID)
			wantClass(t, err, tc.want)
			wantCalls(t, sim, cloud.DescribeInterfaces, tc.calls)
		})
	}
}

// Whatever stands between Slotwise and EC2 may answer, too.
func TestAnswersThatAreNotEC2s(t *testing.T) {
	cases := map[string]struct {
		status int
		body   string
	}{
		"a proxy's page":        {status: http.StatusForbidden, body: "<html><body>blocked</body></html>"},
		"an empty refusal":      {status: http.StatusBadRequest},
		"garbled":               {status: http.StatusOK, body: "<AssignPrivateIpAddressesResponse><assigned"},
		"an empty answer":       {status: http.StatusOK},
		"an answer of no words": {status: http.StatusOK, body: "<AssignPrivateIpAddressesResponse/>"},
		"a redirect":            {status: http.StatusFound},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tc.status)
				_, _ = w.Write([]byte(tc.body))
			}))
			defer server.Close()
			_, err := dial(t, server.URL, cloud.Options{}).Assign(t.Context(), "eni-1", ledger.Prefix, 1)
			wantClass(t, err, cloud.Lost)
		})
	}
}

// Each answer of EC2 is observed: also that it throttles a read, which therefore
// the SDK must not repeat by itself.
func TestObserve(t *testing.T) {
	sim := ec2sim.New(ec2sim.Options{})
	url, err := sim.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sim.Close)
	var got []string
	c := dial(t, url, cloud.Options{Observe: func(action, code string, took time.Duration) {
		if took <= 0 {
			t.Errorf("%s took %v", action, took)
		}
		got = append(got, action+" "+code)
	}})
	sim.Inject(ec2sim.Fault{Kind: ec2sim.Throttle, Times: 1})
	_, _ = c.Instance(t.Context(), "i-1")
	_, _ = c.Assign(t.Context(), "eni-1", ledger.Prefix, 1)
	sim.Inject(ec2sim.Fault{Kind: ec2sim.DropBefore})
	_, _ = c.Assign(t.Context(), "eni-1", ledger.Prefix, 1)
	want := []string{
		"DescribeInstances RequestLimitExceeded",
		"DescribeInstances ",
		"AssignPrivateIpAddresses InvalidNetworkInterfaceID.NotFound",
		"AssignPrivateIpAddresses lost",
	}
	if !slices.Equal(got, want) {
		t.Errorf("observed %q, want %q", got, want)
	}
}
