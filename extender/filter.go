package extender

import (
	"context"
	"errors"
	"slices"

	"slotwise.dev/slotwise/allocator/capacity"
)

// errElsewhere is for a pod that was shown only full nodes out of a sample. An error has
// kube-scheduler go on with the nodes behind these, after a back-off of at most 10 s (the
// same: findNodesThatFitPod, nextStartNodeIndex). Refused by each node, the pod would
// instead wait for something to happen, or have others evicted.
var errElsewhere = errors.New("none of the nodes that were looked at has an address left, but others do: the pod will be tried again, on those that come next")

// filter answers an ExtenderFilterResult. Every name of the request comes back
// once, either in NodeNames or in FailedAndUnresolvableNodes: not in
// FailedNodes, as that would have kube-scheduler look for pods to evict with
// its plugins alone, to which such a node looks as if nothing had to go.
func (h *handler) filter(_ context.Context, x *exchange) error {
	if err := h.readRooms(x); err != nil {
		return err
	}
	var counts [capacity.Reasons]int
	passed, failed := append(x.answer, `{"NodeNames":[`...), x.failed[:0]
	if len(x.rooms) >= h.Sample && !slices.ContainsFunc(x.rooms, capacity.Room.Fits) && h.Rooms.Anywhere(x.args.pod.asked()) {
		return errElsewhere
	}
	for i, room := range x.rooms {
		counts[room.Reason]++
		if room.Fits() {
			passed = append(append(passed, x.args.quoted(i)...), ',')
			continue
		}
		failed = append(failed, x.args.quoted(i)...)
		failed = append(append(failed, reasonMembers[room.Reason]...), ',')
	}
	passed = append(trimComma(passed), `],"FailedAndUnresolvableNodes":{`...)
	passed = append(append(passed, trimComma(failed)...), `}}`...)
	x.answer, x.failed = passed, failed

	for reason, nodes := range counts {
		if nodes > 0 && capacity.Reason(reason) != capacity.Fits {
			h.Refused(capacity.Reason(reason), nodes)
		}
	}
	return nil
}

// readRooms reads the request and fills x.rooms, one for each name. For a pod that wants
// no address all of them are the zero capacity.Room: no node is refused or preferred.
func (h *handler) readRooms(x *exchange) error {
	if err := x.args.read(&x.body); err != nil {
		return badRequest{err}
	}
	wants, err := x.args.pod.wantsAddress()
	if err != nil {
		return badRequest{err}
	}
	x.rooms = x.rooms[:0]
	if !wants {
		x.rooms = append(x.rooms, make([]capacity.Room, len(x.args.names))...)
		return nil
	}
	h.Rooms.View(x.args.pod.asked(), func(lookup func(node []byte) capacity.Room) {
		for i := range x.args.names {
			x.rooms = append(x.rooms, lookup(x.args.name(i)))
		}
	})
	return nil
}

// trimComma takes off the comma behind the last element of a list, if there is one.
func trimComma(list []byte) []byte {
	if n := len(list) - 1; n >= 0 && list[n] == ',' {
		return list[:n]
	}
	return list
}
