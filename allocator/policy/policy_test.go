package policy

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/vpc"
)

var (
	epoch   = time.Unix(1_000_000, 0)
	prefix  = netip.MustParsePrefix("10.0.0.16/28")
	another = netip.MustParsePrefix("10.0.0.32/28")
)

// What each mode of operation is.
func TestPolicies(t *testing.T) {
	type answers struct {
		gives             bool
		resource, besides corev1.ResourceName
		counts            bool // a pod that does not ask for an address
	}
	for name, c := range map[string]struct {
		policy Policy
		want   answers
	}{
		"manage":  {Manage(), answers{true, vpc.Resource, "", true}},
		"observe": {Observe(time.Minute), answers{false, vpc.TrueResource, vpc.TrueResource, false}},
	} {
		t.Run(name, func(t *testing.T) {
			got := answers{c.policy.Gives(), c.policy.Resource(), c.policy.Besides(), c.policy.Counts(false)}
			if got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
			if !c.policy.Counts(true) {
				t.Error("a pod that asks for an address does not count")
			}
		})
	}
}

// What the subnet is about to give: for pods alone, or for the warm pool of another
// allocator, too.
func TestToCome(t *testing.T) {
	waiting := ledger.Counts{Mode: ledger.Prefix, Prefixes: 1, Waiting: 33}
	idle := ledger.Counts{Mode: ledger.Prefix, Prefixes: 1}
	for name, c := range map[string]struct {
		policy Policy
		counts ledger.Counts
		want   int // blocks that the pool is to have
		toCome int
	}{
		"manage, pods wait":              {Manage(), waiting, 9, 3},
		"manage, nobody waits":           {Manage(), idle, 9, 0},
		"observe, the pool wants more":   {Observe(0), waiting, 9, 8},
		"observe, the pods want more":    {Observe(0), waiting, 2, 3},
		"observe, the pool has enough":   {Observe(0), idle, 1, 0},
		"observe, the pool has too much": {Observe(0), idle, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.policy.ToCome(c.counts, c.want); got != c.toCome {
				t.Errorf("ToCome = %d, want %d", got, c.toCome)
			}
		})
	}
}

// The address of a pod says something of the interface only where another allocator has
// given it, and once the interface has been read.
func TestHold(t *testing.T) {
	for name, c := range map[string]struct {
		policy   Policy
		known    bool
		appeared []netip.Prefix
	}{
		"manage":                     {Manage(), true, nil},
		"observe, before it is read": {Observe(0), false, nil},
		"observe":                    {Observe(0), true, []netip.Prefix{prefix}},
	} {
		t.Run(name, func(t *testing.T) {
			l := ledger.New(2, ledger.Prefix)
			g := ledger.Grant{Pod: "pod", Address: prefix.Addr(), Kind: ledger.Prefix}
			if got := c.policy.Hold(l, g, c.known, epoch); !slices.Equal(got.Appeared, c.appeared) {
				t.Errorf("Hold = %+v, want %s to have appeared", got, c.appeared)
			}
			if a, _ := l.Holder("pod"); a != prefix.Addr() {
				t.Errorf("the pod holds %s", a)
			}
			if got := l.Counts().Prefixes; got != len(c.appeared) {
				t.Errorf("%d prefixes, want %d", got, len(c.appeared))
			}
		})
	}
}

// I2: a block that nobody explains cools, unless another allocator keeps the interface: it
// is of its pool then.
func TestI2Sync(t *testing.T) {
	for name, c := range map[string]struct {
		policy Policy
		free   int
	}{
		"manage":  {Manage(), 0},
		"observe": {Observe(0), 16},
	} {
		t.Run(name, func(t *testing.T) {
			l := ledger.New(2, ledger.Prefix)
			d := c.policy.Sync(l, []netip.Prefix{another}, epoch, epoch)
			if !slices.Equal(d.Appeared, []netip.Prefix{another}) {
				t.Errorf("appeared: %s", d.Appeared)
			}
			if got := l.Counts().Free; got != c.free {
				t.Errorf("%d addresses are free, want %d", got, c.free)
			}
		})
	}
}

// When a subnet is described again: by an interval, and in observe as well as soon as it is
// certain that the other allocator has followed a switch of mode.
func TestNextLook(t *testing.T) {
	const certain = adapt + ledger.Settle // after the switch, at epoch
	switched := func(every time.Duration) Policy {
		p := Observe(every)
		p.Switched(epoch)
		return p
	}
	for name, c := range map[string]struct {
		policy Policy
		last   time.Duration // since the switch
		next   time.Duration
	}{
		"manage":                          {Manage(), 0, lookEvery},
		"observe":                         {Observe(20 * time.Second), 0, 20 * time.Second},
		"before it is certain":            {switched(time.Hour), certain - 1, certain},
		"as soon as it is":                {switched(time.Hour), certain, certain + time.Hour},
		"the interval is sooner":          {switched(time.Second), 0, time.Second},
		"the interval ends just then":     {switched(certain), 0, certain},
		"the interval ends just after it": {switched(certain + 1), 0, certain},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.policy.NextLook(epoch.Add(c.last)).Sub(epoch); got != c.next {
				t.Errorf("next look after %s, want %s", got, c.next)
			}
		})
	}
}

// Manage has nobody to wait for after a switch of mode.
func TestCertain(t *testing.T) {
	for name, c := range map[string]struct {
		policy Policy
		want   time.Time
	}{
		"manage":  {Manage(), time.Time{}},
		"observe": {Observe(0), epoch.Add(15 * time.Second)},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.policy.Certain(); !got.IsZero() {
				t.Errorf("certain from %s on, though nothing was switched", got)
			}
			c.policy.Switched(epoch)
			if got := c.policy.Certain(); !got.Equal(c.want) {
				t.Errorf("certain from %s on, want %s", got, c.want)
			}
		})
	}
}
