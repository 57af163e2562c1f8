package budget

import "time"

const (
	firstPause = 5 * time.Second // after a shortage, before the subnet is looked at again
	lastPause  = 2 * time.Minute // what the pauses grow to
)

// shortage is a kind of block that the subnet was found to lack. The zero value is none.
type shortage struct {
	pause  time.Duration // before the subnet is looked at again
	until  time.Time     // the end of the pause
	known  int           // blocks that the map showed when it was found
	denied bool          // EC2 refused although the map showed room
}

// lasts says that there is a shortage.
func (s shortage) lasts() bool { return s.pause > 0 }

// noted is the shortage once a block could not be had, with the room that the map shows.
func (s shortage) noted(room int, denied bool, now time.Time) shortage {
	if !s.lasts() {
		s.pause = firstPause
		s.until = now.Add(s.pause)
	}
	s.denied = s.denied || denied
	s.known = room
	return s
}

// after is the shortage once the subnet was described. It ends where the map has changed:
// either there is room again, or the map was wrong and now explains the refusal. Where it
// shows again what EC2 refused, one block is offered as a try once the pause is over, and
// the next pause is longer.
func (s shortage) after(room int, now time.Time) shortage {
	switch {
	case !s.lasts():
	case room != s.known:
		return shortage{}
	case !now.Before(s.until):
		s.pause = min(2*s.pause, lastPause)
		s.until = now.Add(s.pause)
		s.denied = false
	}
	return s
}
