package ec2sim_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/google/go-cmp/cmp"

	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/ec2sim"
)

// inProcess lets the SDK talk to the simulator without a network, so that both
// live in a synctest bubble and time is free. It cannot drop connections.
type inProcess struct{ sim *ec2sim.Server }

func (p inProcess) Do(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	served := make(chan struct{})
	go func() {
		defer close(served)
		p.sim.ServeHTTP(w, r)
	}()
	select {
	case <-served:
		return w.Result(), nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// bubble runs a test in a bubble with an instance i-1 in 10.0.0.0/24.
func bubble(t *testing.T, o ec2sim.Options, test func(*testing.T, *ec2sim.Server, *ec2.Client, ec2sim.Interface)) {
	synctest.Test(t, func(t *testing.T) {
		sim := ec2sim.New(o)
		check.Must(t, sim.AddSubnet(subnetA, "eu-west-1a", cidr("10.0.0.0/24")))
		client := ec2.New(ec2.Options{
			Region:      "eu-west-1",
			HTTPClient:  inProcess{sim},
			Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
			Retryer:     aws.NopRetryer{},
		})
		test(t, sim, client, run(t, sim, "i-1", "c5.4xlarge"))
	})
}

func assignOne(t *testing.T, client *ec2.Client, eni string) error {
	t.Helper()
	_, err := client.AssignPrivateIpAddresses(t.Context(), &ec2.AssignPrivateIpAddressesInput{
		NetworkInterfaceId: &eni, SecondaryPrivateIpAddressCount: aws.Int32(1),
	})
	return err
}

func TestLatency(t *testing.T) {
	const mean, jitter, other = 300 * time.Millisecond, 100 * time.Millisecond, 50 * time.Millisecond
	options := ec2sim.Options{Latency: map[string]ec2sim.Latency{
		"AssignPrivateIpAddresses": {Mean: mean, Jitter: jitter},
		ec2sim.AnyAction:           {Mean: other},
	}}
	bubble(t, options, func(t *testing.T, sim *ec2sim.Server, client *ec2.Client, eni ec2sim.Interface) {
		shortest, longest := time.Hour, time.Duration(0)
		for range 25 {
			began := time.Now()
			check.Must(t, assignOne(t, client, eni.ID))
			took := time.Since(began)
			shortest, longest = min(shortest, took), max(longest, took)
			if c := lastCall(sim); c.End.Sub(c.Start) != took {
				t.Fatalf("the log says %s, it took %s", c.End.Sub(c.Start), took)
			}
			changes := sim.Changes()
			if at := changes[len(changes)-1].Time.Sub(began); at != took/2 {
				t.Fatalf("changed after %s of %s, want in the middle", at, took)
			}
		}
		if shortest < mean-jitter || longest > mean+jitter || longest-shortest < jitter {
			t.Errorf("took between %s and %s, want %s +- %s", shortest, longest, mean, jitter)
		}
		began := time.Now()
		_, err := client.DescribeSubnets(t.Context(), &ec2.DescribeSubnetsInput{})
		check.Must(t, err)
		if took := time.Since(began); took != other {
			t.Errorf("another action took %s, want %s", took, other)
		}
		sim.SetLatency("DescribeSubnets", ec2sim.Latency{})
		began = time.Now()
		_, err = client.DescribeSubnets(t.Context(), &ec2.DescribeSubnetsInput{})
		check.Must(t, err)
		if took := time.Since(began); took != ec2sim.LeastLatency {
			t.Errorf("set to 0 it took %s", took)
		}
	})
}

func TestThrottle(t *testing.T) {
	options := ec2sim.Options{Throttle: map[string]ec2sim.Bucket{"AssignPrivateIpAddresses": {Burst: 5, PerSecond: 2}}}
	bubble(t, options, func(t *testing.T, sim *ec2sim.Server, client *ec2.Client, eni ec2sim.Interface) {
		// admitted counts how many of 10 calls at once get through.
		admitted := func() (n int) {
			for range 10 {
				switch code := codeOf(t, assignOne(t, client, eni.ID)); code {
				case "":
					n++
				case ec2sim.CodeThrottled:
				default:
					t.Fatalf("code = %q", code)
				}
			}
			return n
		}
		got := []int{admitted()}
		time.Sleep(2 * time.Second)
		got = append(got, admitted())
		sim.SetThrottle(map[string]ec2sim.Bucket{ec2sim.AnyAction: {Burst: 3}})
		got = append(got, admitted())
		sim.SetThrottle(nil)
		got = append(got, admitted())
		if want := []int{5, 4, 3, 10}; !cmp.Equal(got, want) {
			t.Errorf("admitted of 10 at once, 2 s later, with 3, without throttling: %v, want %v", got, want)
		}
		if throttled := sim.Errors()[ec2sim.CodeThrottled]; throttled != 18 {
			t.Errorf("the log has %d throttled calls, want 18", throttled)
		}
		if after, _ := sim.Interface(eni.ID); len(after.Addresses) != 22 {
			t.Errorf("%d addresses, want one for each of 22 calls admitted", len(after.Addresses))
		}
	})
}

func TestThrottledStatus(t *testing.T) {
	sim := ec2sim.New(ec2sim.Options{Throttle: map[string]ec2sim.Bucket{ec2sim.AnyAction: {}}})
	if got := post(sim, "Action=DescribeSubnets").Code; got != http.StatusServiceUnavailable {
		t.Errorf("status = %d, want 503, which the SDK takes for a reason to retry", got)
	}
}

func TestLag(t *testing.T) {
	const lag = 5 * time.Second
	bubble(t, ec2sim.Options{Lag: lag}, func(t *testing.T, sim *ec2sim.Server, client *ec2.Client, eni ec2sim.Interface) {
		// seen is what Describe says of addresses, room and the instance.
		seen := func() [3]any {
			enis, err := client.DescribeNetworkInterfaces(t.Context(), &ec2.DescribeNetworkInterfacesInput{})
			check.Must(t, err)
			subnets, err := client.DescribeSubnets(t.Context(), &ec2.DescribeSubnetsInput{})
			check.Must(t, err)
			instances, err := client.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{})
			check.Must(t, err)
			addresses := 0
			if len(enis.NetworkInterfaces) > 0 {
				addresses = len(enis.NetworkInterfaces[0].PrivateIpAddresses)
			}
			return [3]any{addresses, *subnets.Subnets[0].AvailableIpAddressCount,
				string(instances.Reservations[0].Instances[0].State.Name)}
		}
		expect := func(when string, want ...any) {
			t.Helper()
			if got := seen(); got != [3]any(want) {
				t.Errorf("%s: addresses, room, state = %v, want %v", when, got, want)
			}
		}
		expect("what is new shows at once", 1, int32(251), "running")
		time.Sleep(2 * lag)
		check.Must(t, assignOne(t, client, eni.ID))
		expect("just assigned", 1, int32(250), "running")
		time.Sleep(lag - 10*time.Millisecond)
		expect("short of the lag", 1, int32(250), "running")
		time.Sleep(10 * time.Millisecond)
		expect("after the lag", 2, int32(249), "running")
		check.Must(t, sim.Terminate("i-1"))
		expect("just terminated", 2, int32(249), "running")
		sim.SetLag(0)
		expect("without a lag", 0, int32(251), "terminated")
	})
}

// TestLagIsBounded asks for the state of an hour ago.
func TestLagIsBounded(t *testing.T) {
	bubble(t, ec2sim.Options{Lag: time.Hour}, func(t *testing.T, _ *ec2sim.Server, client *ec2.Client, eni ec2sim.Interface) {
		check.Must(t, assignOne(t, client, eni.ID))
		time.Sleep(ec2sim.MaxLag)
		out, err := client.DescribeNetworkInterfaces(t.Context(), &ec2.DescribeNetworkInterfacesInput{})
		check.Must(t, err)
		if got := len(out.NetworkInterfaces[0].PrivateIpAddresses); got != 2 {
			t.Errorf("%d addresses, want the 2 of MaxLag ago", got)
		}
	})
}

func TestProtocol(t *testing.T) {
	tests := map[string]struct {
		body   string
		code   string
		status int
	}{
		"unknown action":      {"Action=RunInstances", ec2sim.CodeInvalidAction, http.StatusBadRequest},
		"no action":           {"", ec2sim.CodeInvalidAction, http.StatusBadRequest},
		"a word for a number": {"Action=DescribeSubnets&MaxResults=many", ec2sim.CodeInvalidValue, http.StatusBadRequest},
		"a dry run":           {"Action=DescribeSubnets&DryRun=true", ec2sim.CodeUnsupported, http.StatusBadRequest},
		"no form":             {"Action=%zz", "MalformedQueryString", http.StatusBadRequest},
		"a body too long":     {"Action=" + strings.Repeat("x", 2<<20), "MalformedQueryString", http.StatusBadRequest},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			sim := ec2sim.New(ec2sim.Options{})
			got := post(sim, test.body)
			if !strings.Contains(got.Body.String(), "<Code>"+test.code+"</Code>") || got.Code != test.status {
				t.Errorf("%d %s, want %d %s", got.Code, got.Body, test.status, test.code)
			}
		})
	}
}

func post(sim *ec2sim.Server, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 of anybody")
	w := httptest.NewRecorder()
	sim.ServeHTTP(w, r)
	return w
}

func TestAuthorizationIsWanted(t *testing.T) {
	sim, _ := start(t, ec2sim.Options{})
	anonymous := ec2.New(ec2.Options{
		Region:      "eu-west-1",
		HTTPClient:  inProcess{sim},
		Credentials: aws.AnonymousCredentials{},
		Retryer:     aws.NopRetryer{},
	})
	_, err := anonymous.DescribeSubnets(t.Context(), &ec2.DescribeSubnetsInput{})
	if got := codeOf(t, err); got != ec2sim.CodeAuthFailure {
		t.Errorf("code = %q (%v), want %q", got, err, ec2sim.CodeAuthFailure)
	}
}

func TestCalls(t *testing.T) {
	sim, client := start(t, ec2sim.Options{})
	eni := run(t, sim, "i-1", "c5.large")
	check.Must(t, assignOne(t, client, eni.ID))
	_, err := client.AssignPrivateIpAddresses(t.Context(), &ec2.AssignPrivateIpAddressesInput{
		NetworkInterfaceId: &eni.ID, Ipv4PrefixCount: aws.Int32(20),
	})
	codeOf(t, err)
	_, err = client.UnassignPrivateIpAddresses(t.Context(), &ec2.UnassignPrivateIpAddressesInput{
		NetworkInterfaceId: &eni.ID, PrivateIpAddresses: []string{"10.0.0.5"},
	})
	check.Must(t, err)
	_, err = client.DescribeSubnets(t.Context(), &ec2.DescribeSubnetsInput{})
	check.Must(t, err)

	five := ec2sim.Slots{Addresses: addrs("10.0.0.5")}
	want := []ec2sim.Call{
		{Seq: 1, Action: "AssignPrivateIpAddresses", ENI: eni.ID, Requested: ec2sim.Request{AddressCount: 1}, Changed: five, Applied: true},
		{Seq: 2, Action: "AssignPrivateIpAddresses", ENI: eni.ID, Requested: ec2sim.Request{PrefixCount: 20}, Code: ec2sim.CodeLimitExceeded},
		{Seq: 3, Action: "UnassignPrivateIpAddresses", ENI: eni.ID, Requested: ec2sim.Request{Slots: five}, Changed: five, Applied: true},
		{Seq: 4, Action: "DescribeSubnets"},
	}
	got := sim.Calls()
	for i := range got {
		if got[i].End.Before(got[i].Start) {
			t.Errorf("call %d ended before it began", got[i].Seq)
		}
		got[i].Start, got[i].End = time.Time{}, time.Time{}
	}
	if diff := cmp.Diff(want, got, compareSlots); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	wantCounts := map[string]int{"AssignPrivateIpAddresses": 2, "UnassignPrivateIpAddresses": 1, "DescribeSubnets": 1}
	if diff := cmp.Diff(wantCounts, sim.Counts()); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{ec2sim.CodeLimitExceeded: 1}, sim.Errors()); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
	sim.ResetCalls()
	check.Must(t, assignOne(t, client, eni.ID))
	if got := sim.Calls(); len(got) != 1 || got[0].Seq != 5 || !got[0].Applied {
		t.Errorf("after a reset and one call: %+v", got)
	}
}

func TestChangesOf(t *testing.T) {
	sim, client := start(t, ec2sim.Options{})
	one, two := run(t, sim, "i-1", "c5.large"), run(t, sim, "i-2", "c5.large")
	_, err := client.AssignPrivateIpAddresses(t.Context(), &ec2.AssignPrivateIpAddressesInput{
		NetworkInterfaceId: &one.ID, Ipv4PrefixCount: aws.Int32(1),
	})
	check.Must(t, err)
	check.Must(t, sim.Unassign(one.ID, ec2sim.Slots{Prefixes: cidrs("10.0.0.16/28")}))
	_, err = sim.Assign(two.ID, ec2sim.Request{Slots: ec2sim.Slots{Addresses: addrs("10.0.0.20")}})
	check.Must(t, err)
	check.Must(t, sim.Terminate("i-2"))

	want := []ec2sim.Change{
		{Call: 1, ENI: one.ID, Range: cidr("10.0.0.16/28"), Assigned: true},
		{ENI: one.ID, Range: cidr("10.0.0.16/28")},
		{ENI: two.ID, Range: cidr("10.0.0.20/32"), Assigned: true},
		{ENI: two.ID, Range: cidr("10.0.0.20/32")},
	}
	got := sim.ChangesOf(netip.MustParseAddr("10.0.0.20"))
	for i := range got {
		got[i].Time = time.Time{}
	}
	if diff := cmp.Diff(want, got, compareSlots); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

func lastCall(sim *ec2sim.Server) ec2sim.Call {
	calls := sim.Calls()
	return calls[len(calls)-1]
}

// TestStart checks that the URL is what a client needs, and that Close ends a
// call that waits.
func TestStart(t *testing.T) {
	sim, client := start(t, ec2sim.Options{Latency: map[string]ec2sim.Latency{ec2sim.AnyAction: {Mean: time.Hour}}})
	other := ec2sim.New(ec2sim.Options{})
	defer other.Close()
	address, err := other.Start("127.0.0.1:0")
	check.Must(t, err)
	if u, err := url.Parse(address); err != nil || u.Scheme != "http" || u.Port() == "0" {
		t.Errorf("URL = %q", address)
	}
	if _, err := other.Start(strings.TrimPrefix(address, "http://")); err == nil {
		t.Error("two servers on one port")
	}
	done := make(chan error)
	go func() {
		_, err := client.DescribeSubnets(t.Context(), &ec2.DescribeSubnetsInput{})
		done <- err
	}()
	for len(sim.Calls()) == 0 {
		time.Sleep(time.Millisecond)
	}
	sim.Close()
	if err := <-done; err == nil {
		t.Error("a call in flight got an answer after Close")
	}
	for patience := 1000; lastCall(sim).End.IsZero(); patience-- {
		if patience == 0 {
			t.Fatal("a call in flight goes on after Close")
		}
		time.Sleep(time.Millisecond)
	}
}
