package node

import (
	"testing"
	"time"
)

// I9: a kubelet may still see any total that its Node has shown of late.
func TestShown(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	var s Shown
	if got := s.least("a", now); got != 0 {
		t.Errorf("least = %d of a Node that nothing is known of", got)
	}
	s.Note("a", 5, now)
	if got := s.least("a", now.Add(kubeletLag-1)); got != 0 {
		t.Errorf("least = %d before the kubelet is sure to see 5", got)
	}
	if got := s.least("a", now.Add(kubeletLag)); got != 5 {
		t.Errorf("least = %d after %s, want 5", got, kubeletLag)
	}
	s.Note("a", 3, now.Add(kubeletLag))
	if got := s.least("a", now.Add(kubeletLag)); got != 3 {
		t.Errorf("least = %d, want 3: less counts at once", got)
	}
	if got := s.Last("a"); got != 3 {
		t.Errorf("Last = %d, want 3", got)
	}
	s.Note("b", 9, now)
	if got := s.Last("a"); got != 0 {
		t.Errorf("Last = %d of a Node that offers no longer", got)
	}
}
