package cloud

import (
	"testing"
	"time"
)

func TestRecovery(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	type call struct {
		action Action
		class  Class
		after  time.Duration
	}
	for name, c := range map[string]struct {
		calls []call
		want  int // announcements
	}{
		"all is well":                   {[]call{{DescribeInstances, None, 0}}, 0},
		"no answer, then one":           {[]call{{DescribeInstances, Lost, 0}, {DescribeInstances, None, 1}}, 1},
		"throttled, then a refusal":     {[]call{{DescribeInstances, RetryLater, 0}, {DescribeInstances, Refused, 1}}, 1},
		"another action answers":        {[]call{{DescribeInstances, Lost, 0}, {DescribeSubnets, None, 1}}, 0},
		"twice within the pause":        {[]call{{Assign, Lost, 0}, {Assign, None, 1}, {Assign, Lost, 2}, {Assign, None, 3}}, 1},
		"twice, with the pause between": {[]call{{Assign, Lost, 0}, {Assign, None, 1}, {Assign, Lost, 2}, {Assign, None, recoveryPause + 1}}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			h, got := newHealth(), 0
			for _, x := range c.calls {
				before := h.recovered
				h.note(x.action, x.class, now.Add(x.after))
				select {
				case <-before:
					got++
				default:
				}
			}
			if got != c.want {
				t.Errorf("announced %d times, want %d", got, c.want)
			}
		})
	}
}
