package ec2sim

import (
	"testing"
	"time"
)

func TestHistory(t *testing.T) {
	began := time.Now()
	var h history[int]
	for second := range 1000 {
		h.set(began.Add(time.Duration(second)*time.Second), second)
	}
	tests := map[string]struct {
		at   time.Duration // since it began
		want int
	}{
		"now":                {999 * time.Second, 999},
		"between two states": {990*time.Second + time.Millisecond, 990},
		"MaxLag ago":         {999*time.Second - MaxLag, 939},
		"long forgotten":     {0, 938},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := h.at(began.Add(test.at)); got != test.want {
				t.Errorf("at(%s) = %d, want %d", test.at, got, test.want)
			}
		})
	}
	if h.now() != 999 || len(h.versions) != 62 {
		t.Errorf("now %d, %d versions kept; want 999 and the 62 of a minute and before", h.now(), len(h.versions))
	}
}
