package cloud

import (
	"sync"
	"time"
)

// recoveryPause is the least time between two announcements that EC2 answers again:
// where it answers only now and then, those who wait are not woken each time.
const recoveryPause = 5 * time.Second

// health tells those who wait before they ask EC2 again, longer each time, that an action
// answers: the success of one is announced to all.
type health struct {
	mu        sync.Mutex
	failing   map[Action]bool // whose last call got no answer
	announced time.Time
	recovered chan struct{} // closed with the next announcement
}

func newHealth() *health {
	return &health{failing: map[Action]bool{}, recovered: make(chan struct{})}
}

// note records the result of a call. A refusal is an answer, too.
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

// Recovered returns a channel that is closed when EC2 next answers after it did not.
func (c *Client) Recovered() <-chan struct{} {
	c.health.mu.Lock()
	defer c.health.mu.Unlock()
	return c.health.recovered
}
