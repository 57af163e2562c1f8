package scheduler

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"
)

// flight is the pods that are being tried, with what has happened since each attempt
// began (backend/queue/active_queue.go inFlightPods, inFlightEvents).
type flight struct {
	from   map[types.UID]int // the first of the events that came after the attempt began
	events []event
}

// begin begins an attempt; false: there is one already.
func (f *flight) begin(uid types.UID) bool {
	if f.has(uid) {
		return false
	}
	f.from[uid] = len(f.events)
	return true
}

func (f *flight) has(uid types.UID) bool {
	_, there := f.from[uid]
	return there
}

// end ends an attempt; it may have ended before.
func (f *flight) end(uid types.UID) {
	delete(f.from, uid)
	if len(f.from) == 0 {
		clear(f.events)
		f.events = f.events[:0]
	}
}

func (f *flight) note(e event) {
	if len(f.from) > 0 {
		f.events = append(f.events, e)
	}
}

// since says whether any event since an attempt began is of that kind.
func (f *flight) since(uid types.UID, kind func(event) bool) bool {
	from, there := f.from[uid]
	return there && slices.ContainsFunc(f.events[from:], kind)
}
