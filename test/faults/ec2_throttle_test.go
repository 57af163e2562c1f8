package faults

import (
	"errors"
	"slices"
	"testing"
	"time"

	"slotwise.dev/slotwise/test/ec2sim"
)

// TestThrottling lets EC2 take one assign in a second, a fifth of what it takes
// from an account and a twelfth of what is wanted here at once: six nodes want to
// warm their pools, and on six others pods come and wait. Those that wait come
// first, nobody starves, and refused calls stay in proportion to those done.
func TestThrottling(t *testing.T) {
	t.Parallel()
	const half = 6
	s := start(t, settings{"warm-ip-target": "1", "minimum-ip-target": "1"})
	var busy, idle []node
	for range half {
		busy, idle = append(busy, s.join("t3.large", s.subnet)), append(idle, s.join("t3.large", s.subnet))
	}
	all := slices.Concat(busy, idle)
	for _, n := range all {
		s.awaitReady(n)
	}
	pods := s.pods(3 * half)
	s.ec2.ResetCalls()
	s.ec2.SetThrottle(map[string]ec2sim.Bucket{assign: {Burst: 1, PerSecond: 1}})
	began := time.Now()

	s.configure(settings{"warm-ip-target": "4"})
	s.await("EC2 throttles", func() error {
		if s.ec2.Errors()["RequestLimitExceeded"] == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	var served time.Time // all that waited
	each(half, func(i int) {
		if err := errors.Join(s.bindAll(pods[3*i:3*i+3], busy[i])...); err != nil {
			t.Error(err)
		}
	})
	served = time.Now()
	s.await("all pools are full", func() error {
		for _, n := range all {
			if r := s.room(n); r.Free < 4 {
				return errors.New(n.name + " has not")
			}
		}
		return nil
	})

	done, early := 0, 0
	for _, c := range s.calls(assign) {
		if c.Code != "" {
			continue
		}
		done++
		if c.End.Before(served) && slices.ContainsFunc(idle, func(n node) bool { return n.eni == c.ENI }) {
			early++
		}
	}
	refused := s.ec2.Errors()["RequestLimitExceeded"]
	t.Logf("pods were served after %s, pools full after %s: %d assign calls done, %d refused; %d for pools before the last pod was served",
		served.Sub(began).Round(time.Second), time.Since(began).Round(time.Second), done, refused, early)
	if most := 2 + half/4; early > most {
		t.Errorf("%d calls warmed pools while pods waited, want at most %d", early, most)
	}
	if most := 2*half + done; refused > most {
		t.Errorf("%d calls were refused beside %d that were done, want at most %d", refused, done, most)
	}
	for _, n := range all {
		s.awaitAgreement(n)
	}
}
