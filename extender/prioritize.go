package extender

import (
	"context"
	"strconv"

	extenderv1 "k8s.io/kube-scheduler/extender/v1"

	"slotwise.dev/slotwise/allocator/capacity"
)

// The scores of nodes that fit, by whether an address is free there now (6 to
// 10) or a call to EC2 has to bring one (1 to 5). A refused node scores 0.
const (
	steps  = 4 // between the emptiest and the fullest node of either kind
	atOnce = extenderv1.MaxExtenderPriority - steps
	later  = atOnce - 1 - steps
)

// prioritize answers a HostPriorityList.
func (h *handler) prioritize(_ context.Context, x *exchange) error {
	if err := h.readRooms(x); err != nil {
		return err
	}
	x.scores = scores(x.scores[:0], x.rooms)
	answer := append(x.answer, '[')
	for i, score := range x.scores {
		answer = append(append(answer, `{"Host":`...), x.args.quoted(i)...)
		answer = append(strconv.AppendInt(append(answer, `,"Score":`...), score, 10), '}', ',')
	}
	x.answer = append(trimComma(answer), ']')
	return nil
}

// scores appends the score of each room to dst: nodes with an address free now
// come before those that need a call to EC2, and among each of the two the
// fuller before the emptier, so that prefixes are used up on some nodes while
// others empty out. Fullness is addresses in use, measured between the emptiest
// and the fullest node of the same kind.
func scores(dst []int64, rooms []capacity.Room) []int64 {
	var now, wait scale
	for _, room := range rooms {
		switch {
		case room.Reason != capacity.Fits:
		case room.Free > 0:
			now.include(room.InUse)
		default:
			wait.include(room.InUse)
		}
	}
	for _, room := range rooms {
		score := extenderv1.MinExtenderPriority
		switch {
		case room.Reason != capacity.Fits:
		case room.Free > 0:
			score = atOnce + now.steps(room.InUse)
		default:
			score = later + wait.steps(room.InUse)
		}
		dst = append(dst, score)
	}
	return dst
}

// scale runs from the least to the most addresses in use that it includes.
type scale struct {
	least, most int32
	used        bool
}

func (s *scale) include(inUse int32) {
	if !s.used {
		*s = scale{least: inUse, most: inUse, used: true}
	}
	s.least, s.most = min(s.least, inUse), max(s.most, inUse)
}

// steps is where inUse lies on the scale: 0 at its least, steps at its most.
func (s *scale) steps(inUse int32) int64 {
	if s.least == s.most {
		return steps
	}
	return steps * int64(inUse-s.least) / int64(s.most-s.least)
}
