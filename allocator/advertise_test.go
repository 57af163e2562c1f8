package allocator

import (
	"testing"
	"time"
)

// An advert that is written over one with the same figures is no event, and would
// not wake the scheduler.
func TestI8AdvertAfter(t *testing.T) {
	then := time.Now()
	now := then.Add(2 * time.Second)
	for name, c := range map[string]struct {
		total, remaining int // of the next; the last has 10 and 5
		grown            bool
		due              time.Time
		newSince         bool
	}{
		"nothing new":                            {total: 10, remaining: 5},
		"more in all":                            {total: 11, remaining: 5, due: now},
		"less in all":                            {total: 9, remaining: 5, due: now},
		"more remains":                           {total: 10, remaining: 6, due: now},
		"less remains":                           {total: 10, remaining: 4, due: then.Add(lessEvery)},
		"less, then as much as before":           {total: 10, remaining: 5, grown: true, due: now, newSince: true},
		"less, then more, but less than written": {total: 10, remaining: 3, grown: true, due: now},
	} {
		t.Run(name, func(t *testing.T) {
			last := advert{total: 10, remaining: 5, since: then, at: then}
			got, due := advert{total: c.total, remaining: c.remaining, since: now, at: now}.after(last, c.grown)
			if due != c.due {
				t.Errorf("due %s after the last, want %s", due.Sub(then), c.due.Sub(then))
			}
			if newSince := got.since != last.since; newSince != c.newSince {
				t.Errorf("since is new: %t, want %t", newSince, c.newSince)
			}
		})
	}
}
