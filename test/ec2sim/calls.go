package ec2sim

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// Call is one request that came in.
type Call struct {
	Seq    int       `json:"seq"` // from 1, in order of arrival
	Start  time.Time `json:"start"`
	End    time.Time `json:"end,omitzero"` // zero while it is in flight
	Action string    `json:"action"`
	ENI    string    `json:"eni,omitempty"`
	// Requested is what it asked to assign or unassign.
	Requested Request `json:"requested,omitzero"`
	// Changed are the slots that were assigned or unassigned, whatever the
	// answer said; see Applied.
	Changed Slots `json:"changed,omitzero"`
	// Applied says that the state changed.
	Applied bool `json:"applied"`
	// Code is the error that was answered; empty for none.
	Code string `json:"code,omitempty"`
	// Fault is the kind of the fault, delays aside, that struck it.
	Fault FaultKind `json:"fault,omitempty"`
}

// Dropped says that the call got no answer.
func (c Call) Dropped() bool { return c.Fault == DropBefore || c.Fault == DropAfter }

// callLog is the log of calls since the last reset.
type callLog struct {
	mu      sync.Mutex
	calls   []Call
	dropped int // calls before the oldest one in the log
}

func (l *callLog) begin(q query) (seq int) {
	requested, _ := q.request() // what does not parse, the action refuses
	l.mu.Lock()
	defer l.mu.Unlock()
	seq = l.dropped + len(l.calls) + 1
	l.calls = append(l.calls, Call{
		Seq:       seq,
		Start:     time.Now(),
		Action:    q.action,
		ENI:       q.form.Get("NetworkInterfaceId"),
		Requested: requested,
	})
	return seq
}

func (l *callLog) end(seq int, refusal *Error) {
	l.update(seq, func(c *Call) {
		c.End = time.Now()
		if refusal != nil {
			c.Code = refusal.Code
		}
	})
}

// update changes the entry of a call, if it has not been reset away.
func (l *callLog) update(seq int, f func(*Call)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := seq - l.dropped - 1; i >= 0 {
		f(&l.calls[i])
	}
}

// Calls lists the calls since the last reset in order of arrival, those in
// flight included.
func (s *Server) Calls() []Call {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return slices.Clone(s.log.calls)
}

// ResetCalls empties the log. Seq goes on counting.
func (s *Server) ResetCalls() {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.log.dropped += len(s.log.calls)
	s.log.calls = nil
}

// Counts is the number of calls by action since the last reset.
func (s *Server) Counts() map[string]int {
	return tally(s.Calls(), func(c Call) string { return c.Action })
}

// Errors is the number of calls by the error code that they were answered with
// since the last reset.
func (s *Server) Errors() map[string]int {
	counts := tally(s.Calls(), func(c Call) string { return c.Code })
	maps.DeleteFunc(counts, func(code string, _ int) bool { return code == "" })
	return counts
}

func tally(calls []Call, key func(Call) string) map[string]int {
	counts := map[string]int{}
	for _, c := range calls {
		counts[key(c)]++
	}
	return counts
}
