package cloud

import "time"

// When EC2 throttles, a bucket's rate is cut to half. It grows again with the square
// of the time since: slowly at first, near the limit that was just reached, then faster,
// and it is back at the full rate two minutes after the last throttling at the latest.
// Against a limit of a tenth of the full rate, about one call in nine is throttled.
const (
	paceCut      = 0.5
	paceFloor    = 0.05 // of the full rate
	paceRecovery = 2 * time.Minute
)

// pace is the rate of one token bucket as a function of time, in tokens a
// second. It is a value: nothing here reads a clock.
type pace struct {
	full float64   // while EC2 does not throttle
	base float64   // right after the last cut
	cut  time.Time // the last cut; zero: never
}

// at is the rate at a time.
func (p pace) at(now time.Time) float64 {
	if p.cut.IsZero() {
		return p.full
	}
	t := now.Sub(p.cut).Seconds() / paceRecovery.Seconds()
	return min(p.full, p.base+p.full*t*t)
}

// throttled is the pace after EC2 has throttled a call that was sent at a time. Calls
// that were under way when the pace was cut say nothing about the pace since then, and
// do not change it.
func (p pace) throttled(sent, now time.Time) pace {
	if !sent.After(p.cut) {
		return p
	}
	return pace{full: p.full, base: max(p.full*paceFloor, p.at(now)*paceCut), cut: now}
}
