package cloud

import (
	"testing"
	"time"
)

var dawn = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func TestPace(t *testing.T) {
	const full = 8.0
	cut := dawn.Add(time.Minute)
	after := cut.Add
	cases := map[string]struct {
		pace pace
		at   time.Time
		want float64
	}{
		"never throttled":            {pace: pace{full: full}, at: dawn, want: 8},
		"halved at the first time":   {pace: pace{full: full}.throttled(dawn, cut), at: cut, want: 4},
		"a quarter back at half way": {pace: pace{full: full, base: 1, cut: cut}, at: after(paceRecovery / 2), want: 1 + 8*0.25},
		"full again":                 {pace: pace{full: full, base: 1, cut: cut}, at: after(paceRecovery), want: 8},
		"never more than full":       {pace: pace{full: full, base: 1, cut: cut}, at: after(time.Hour), want: 8},
		"halved from where it was":   {pace: pace{full: full, base: 1, cut: cut}.throttled(after(time.Second), after(paceRecovery/2)), at: after(paceRecovery / 2), want: 1.5},
		"a call from before the cut": {pace: pace{full: full, base: 4, cut: cut}.throttled(cut, after(0)), at: cut, want: 4},
		"never below the floor":      {pace: pace{full: full, base: 0.5, cut: cut}.throttled(after(1), after(2)), at: after(2), want: full * paceFloor},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := c.pace.at(c.at); got != c.want {
				t.Errorf("rate is %v, want %v", got, c.want)
			}
		})
	}
}
