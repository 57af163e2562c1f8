package judge

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/test/ec2sim"
	"slotwise.dev/slotwise/test/sim/apiserver"
	"slotwise.dev/slotwise/test/witness"
)

func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		c := &clock{}
		c.note(5, start)
		c.note(7, start.Add(time.Second))
		time.Sleep(time.Minute)
		for name, test := range map[string]struct {
			revision int64
			want     time.Time
			written  bool
		}{
			"written":            {revision: 5, want: start, written: true},
			"of no commit":       {revision: 6, want: start.Add(time.Second), written: true},
			"not written so far": {revision: 8, want: start.Add(time.Minute)},
		} {
			if got := c.NotBefore(test.revision); !got.Equal(test.want) {
				t.Errorf("%s: not before %s, want %s", name, got, test.want)
			}
			if got, written := c.NotAfter(test.revision); written != test.written || written && !got.Equal(test.want) {
				t.Errorf("%s: not after %s (%t), want %s (%t)", name, got, written, test.want, test.written)
			}
		}
	})
}

func prefix(text string) netip.Prefix { return netip.MustParsePrefix(text) }

const zone = "us-west-2a"

// world is an API server and EC2 with one node, watched by a judge.
type world struct {
	*Judge
	api *apiserver.Server
	ec2 *ec2sim.Server
	eni string
}

func newWorld(t *testing.T) world {
	t.Helper()
	w := world{api: apiserver.New(), ec2: ec2sim.New(ec2sim.Options{})}
	t.Cleanup(w.api.Close)
	w.Judge = New(w.api, w.ec2, "ns", "ours")
	if err := w.ec2.AddSubnet("subnet", zone, prefix("10.0.0.0/24")); err != nil {
		t.Fatal(err)
	}
	eni, err := w.ec2.AddInstance(ec2sim.Instance{ID: "i-1", Type: "t3.small", Subnet: "subnet"})
	if err != nil {
		t.Fatal(err)
	}
	w.eni = eni.ID
	w.Node("node", eni)
	return w
}

// pod makes a pod that is bound with an address.
func (w world) pod(t *testing.T, name, address string) {
	t.Helper()
	_, err := w.api.Pods().Create(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, Annotations: map[string]string{"vpc.amazonaws.com/PrivateIPv4Address": address}},
		Spec:       corev1.PodSpec{SchedulerName: "ours", NodeName: "node"},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What the API server writes reaches the witness at the exact time.
func TestSees(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		got, err := w.ec2.Assign(w.eni, ec2sim.Request{AddressCount: 1})
		if err != nil {
			t.Fatal(err)
		}
		address := got.Addresses[0].String() + "/24"
		w.pod(t, "first", address)
		time.Sleep(time.Minute)
		if err := w.api.Pods().Delete(types.NamespacedName{Namespace: "ns", Name: "first"}, apiserver.Deletion{Grace: apiserver.Force()}); err != nil {
			t.Fatal(err)
		}
		if found := w.All(); len(found) > 0 {
			t.Fatalf("found %v before anything went wrong", found)
		}
		time.Sleep(29 * time.Second)
		w.pod(t, "next", address)
		if found := w.All(); len(found) != 1 || found[0].Kind != witness.ReusedEarly {
			t.Errorf("found %v, want that the address was reused 1 s too early", found)
		}
		w.pod(t, "third", address)
		if found := w.All(); len(found) != 2 || found[1].Kind != witness.HeldTwice {
			t.Errorf("found %v, want that two pods have the address", found)
		}
	})
}

// Who takes the lease tells for how long nobody had renewed it.
func TestVacant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		holds := func(who string) {
			w.see(apiserver.Event{At: time.Now(), New: &coordinationv1.Lease{Spec: coordinationv1.LeaseSpec{HolderIdentity: &who}}})
		}
		for _, who := range []string{"a", "a", "", "b"} {
			holds(who)
			time.Sleep(10 * time.Second)
		}
		var vacant []time.Duration
		for _, n := range w.Notes() {
			vacant = append(vacant, n.Vacant)
		}
		if want := []time.Duration{0, 20 * time.Second}; !slices.Equal(vacant, want) {
			t.Errorf("nobody led for %v, want %v", vacant, want)
		}
	})
}

func TestStorms(t *testing.T) {
	for name, test := range map[string]struct {
		calls int
		pause time.Duration
		want  int
	}{
		"a few calls in vain":   {calls: stubborn, pause: time.Second},
		"many calls in vain":    {calls: stubborn + 1, pause: time.Second, want: 1},
		"many, with pauses":     {calls: 3 * stubborn, pause: window/stubborn + time.Millisecond},
		"many, a little sooner": {calls: stubborn + 1, pause: window/stubborn - time.Second, want: 1},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			var calls []ec2sim.Call
			for i := range test.calls {
				calls = append(calls, ec2sim.Call{
					Seq: i + 1, Action: "AssignPrivateIpAddresses", ENI: "eni", Code: "UnauthorizedOperation",
					Start: start.Add(time.Duration(i) * test.pause),
				})
			}
			if found := stormsIn(calls, nil); len(found) != test.want {
				t.Errorf("found %v, want %d", found, test.want)
			}
		})
	}
	t.Run("of several leaders", func(t *testing.T) {
		start := time.Now()
		second := func(n int) time.Time { return start.Add(time.Duration(n) * time.Second) }
		var calls []ec2sim.Call
		for i := range 3 * perLeader {
			calls = append(calls, ec2sim.Call{Action: "AssignPrivateIpAddresses", ENI: "eni", Code: "UnauthorizedOperation", Start: second(2 * i)})
		}
		for name, test := range map[string]struct {
			taken []time.Time
			want  int
		}{
			"one took over":           {taken: []time.Time{second(11)}, want: 1},
			"two took over":           {taken: []time.Time{second(11), second(23)}},
			"one of them long before": {taken: []time.Time{second(-1), second(23)}, want: 1},
		} {
			if found := stormsIn(calls, test.taken); len(found) != test.want {
				t.Errorf("%s: found %v, want %d", name, found, test.want)
			}
		}
	})
	t.Run("calls that name something", func(t *testing.T) {
		named := func(i int) ec2sim.Request {
			block := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(16 * i)}), 28)
			return ec2sim.Request{Slots: ec2sim.Slots{Prefixes: []netip.Prefix{block}}}
		}
		for different, want := range map[int]int{1: 1, 3: 0} {
			var calls []ec2sim.Call
			for i := range 2 * stubborn {
				calls = append(calls, ec2sim.Call{
					Seq: i + 1, Action: "AssignPrivateIpAddresses", ENI: "eni", Code: ec2sim.CodeInvalidValue, Requested: named(i % different),
					Start: time.Now().Add(time.Duration(i) * time.Second),
				})
			}
			if found := stormsIn(calls, nil); len(found) != want {
				t.Errorf("%d different: found %v, want %d", different, found, want)
			}
		}
	})
	t.Run("throttled calls, and such as are about nothing", func(t *testing.T) {
		calls := make([]ec2sim.Call, 2*stubborn+2)
		for i := range calls {
			calls[i] = ec2sim.Call{Action: "DescribeSubnets", Code: "InternalError"}
			if i%2 == 0 {
				calls[i] = ec2sim.Call{Action: "AssignPrivateIpAddresses", ENI: "eni", Code: ec2sim.CodeThrottled}
			}
		}
		if found := stormsIn(calls, nil); len(found) > 0 {
			t.Errorf("found %v", found)
		}
	})
}

// Two runs with the same trace wrote the same at the same times.
func TestTrace(t *testing.T) {
	run := func(pause time.Duration) (trace uint64) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.pod(t, "a", "10.0.0.9/24")
			time.Sleep(pause)
			w.pod(t, "b", "10.0.0.10/24")
			trace = w.Trace()
		})
		return trace
	}
	if first, second := run(time.Second), run(time.Second); first != second {
		t.Error("two equal runs have two traces")
	}
	if run(time.Second) == run(2*time.Second) {
		t.Error("two runs that differ have one trace")
	}
}
