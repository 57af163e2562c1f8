package revision

import (
	"testing"
	"time"
)

func TestClock(t *testing.T) {
	start := time.Now()
	at := func(second float64) time.Time { return start.Add(time.Duration(second * float64(time.Second))) }
	c := &Clock{}
	for n := range 30 { // asked at half past each second, in which revision 10 n + 5 was the latest
		c.Note(10*int64(n)+5, at(float64(n)+0.5), at(float64(n)+0.51))
	}
	const written = 200 // somewhere in second 19 or 20
	if got, want := c.NotBefore(written), at(19.5); !got.Equal(want) {
		t.Errorf("not written before %s, want %s", got, want)
	}
	if got, known := c.NotAfter(written); !known || !got.Equal(at(20.51)) {
		t.Errorf("written by %s (%t), want %s", got, known, at(20.51))
	}
	if got := c.NotBefore(0); !got.IsZero() {
		t.Errorf("the first revision was not written before %s; nothing is known", got)
	}
	if got, known := c.NotAfter(1000); known {
		t.Errorf("what is yet to come was written by %s", got)
	}
	// An answer that comes late has nothing to add.
	c.Note(100, at(31), at(31.01))
	if got, known := c.NotAfter(250); !known || !got.Equal(at(25.51)) {
		t.Errorf("written by %s (%t), want %s", got, known, at(25.51))
	}
}
