package judge

import (
	"slices"
	"sync"
	"time"
)

// clock knows exactly when each version was written.
type clock struct {
	mu      sync.Mutex
	commits []commit // in the order of their versions
}

type commit struct {
	version int64
	at      time.Time
}

func (c *clock) note(version int64, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.commits = append(c.commits, commit{version, at})
}

// NotBefore is when a revision was written; now, where it has not been yet.
func (c *clock) NotBefore(revision int64) time.Time {
	if at, written := c.NotAfter(revision); written {
		return at
	}
	return time.Now()
}

// NotAfter is when a revision was written; false where it has not been yet.
func (c *clock) NotAfter(revision int64) (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, _ := slices.BinarySearchFunc(c.commits, revision, func(x commit, r int64) int { return int(x.version - r) })
	if i == len(c.commits) {
		return time.Time{}, false
	}
	return c.commits[i].at, true
}
