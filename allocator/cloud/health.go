package cloud

import (
	"sync"
	"time"
)

// recoveryPause is between two announcements that EC2 answers again: where it
// answers now and then, that is no news each time.
const recoveryPause = 5 * time.Second

// health tells those who wait longer and longer for EC2 that an action of it
// answers again: one success shows it to all.
type health struct {
	mu        sync.Mutex
	failing   map[Action]bool // without an answer since the last one
	announced time.Time
	recovered chan struct{} // closed with the next announcement
}

func newHealth() *health {
	return &health{failing: map[Action]bool{}, recovered: make(chan struct{})}
}

// note takes in what became of a call. A refusal is an answer, too.
func (h *health) note(action Action, class Class, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if class == Lost || class == RetryLater {
		h.failing[action] = true
		return
	}
	if !h.failing[action] {
		return
	}
	delete(h.failing, action)
	if now.Sub(h.announced) >= recoveryPause {
		h.announced = now
		close(h.recovered)
		h.recovered = make(chan struct{})
	}
}

// Recovered returns what is closed when EC2 next answers after it did not.
func (c *Client) Recovered() <-chan struct{} {
	c.health.mu.Lock()
	defer c.health.mu.Unlock()
	return c.health.recovered
}
