package main

import (
	"os"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
)

// TestI1I2I3I4I5I6I7I8Chaos is a short run. It does the same each time, though never
// at the same moments; make chaos takes other seeds.
func TestI1I2I3I4I5I6I7I8Chaos(t *testing.T) {
	klog.SetLogger(logr.Discard())
	ctrl.SetLogger(logr.Discard())
	o := options{
		duration: time.Minute,
		seed:     8,
		nodes:    20,
		lease:    6 * time.Second,
		patience: 4 * time.Minute,
	}
	if err := run(t.Context(), o, os.Stdout); err != nil {
		t.Fatal(err)
	}
}
