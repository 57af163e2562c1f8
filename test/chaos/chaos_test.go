package main

import (
	"os"
	"testing"
	"time"

	"slotwise.dev/slotwise/test/controlplane"
)

// TestI1I2I3I4I5I6I7I8I9I10Chaos is a short run. It does the same each time, though never
// at the same moments; make chaos takes other seeds.
func TestI1I2I3I4I5I6I7I8I9I10Chaos(t *testing.T) {
	controlplane.Quiet()
	o := options{
		duration: 30 * time.Second,
		seed:     8,
		nodes:    20,
		lease:    6 * time.Second,
		patience: 4 * time.Minute,
	}
	if err := run(t.Context(), o, os.Stdout); err != nil {
		t.Fatal(err)
	}
}
