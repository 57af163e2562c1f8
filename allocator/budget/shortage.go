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

	// What of the shortages before is remembered when one is over: use that EC2 does not
	// show may come and go, and each time the map changes with it and is wrong again.
	repeats int       // how many in a row EC2 has refused although the map showed room
	refused time.Time // when it did so last
}

// lasts says that there is a shortage.
func (s shortage) lasts() bool { return s.pause > 0 }

// noted is the shortage once a block could not be had, with the room that the map shows.
func (s shortage) noted(room int, denied bool, now time.Time) shortage {
	if denied && !s.denied {
		s = s.repeated(now)
	}
	if !s.lasts() {
		s.pause = max(firstPause, s.distrust())
		s.until = now.Add(s.pause)
	}
	s.denied = s.denied || denied
	s.known = room
	return s
}

// repeated counts a refusal, together with those that it follows closely.
func (s shortage) repeated(now time.Time) shortage {
	if now.Sub(s.refused) > 2*lastPause {
		s.repeats = 0
	}
	s.repeats++
	s.refused = now
	return s
}

// distrust is for how long after a refusal a map that has changed is no way out: not at all
// the first time, and longer with each that follows.
func (s shortage) distrust() time.Duration {
	if s.repeats < 2 {
		return 0
	}
	pause := firstPause
	for range s.repeats - 1 {
		pause = min(2*pause, lastPause)
	}
	return pause
}

// over is the shortage once there is none any more.
func (s shortage) over() shortage { return shortage{repeats: s.repeats, refused: s.refused} }

// after is the shortage once the subnet was described. It ends where the map has changed:
// either there is room again, or the map was wrong and now explains the refusal; if it has
// been wrong several times of late, only after a while. Where it shows again what EC2
// refused, one block is offered as a try once the pause is over, and the next pause is longer.
func (s shortage) after(room int, now time.Time) shortage {
	switch {
	case !s.lasts():
	case room != s.known && !now.Before(s.refused.Add(s.distrust())):
		return s.over()
	case !now.Before(s.until):
		s.pause = min(2*s.pause, lastPause)
		s.until = now.Add(s.pause)
		s.denied = false
	}
	return s
}
