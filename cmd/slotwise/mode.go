package main

import (
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"slotwise.dev/slotwise/allocator/policy"
)

// The modes.
const (
	modeManage  = "manage"
	modeObserve = "observe"
)

// mode is --mode with what belongs to it.
type mode struct {
	name     string
	interval time.Duration // between looks at EC2 in mode observe
}

func (m *mode) register(f *pflag.FlagSet) {
	f.StringVar(&m.name, "mode", modeManage, "manage: keep the slots of Windows nodes and give pods their addresses; observe: beside AWS's managed controller, which does that, let pods be scheduled only where it can")
	f.DurationVar(&m.interval, "observe-interval", 15*time.Second, "mode observe: how often all network interfaces and subnets of Windows nodes are described")
}

func (m *mode) check() error {
	switch {
	case m.name != modeManage && m.name != modeObserve:
		return fmt.Errorf("--mode %q: want %s or %s", m.name, modeManage, modeObserve)
	case m.interval < time.Second:
		return fmt.Errorf("--observe-interval %s: want a second or more, for the sake of EC2's request limits", m.interval)
	}
	return nil
}

// policy is what the mode means.
func (m *mode) policy() policy.Policy {
	if m.name == modeObserve {
		return policy.Observe(m.interval)
	}
	return policy.Manage()
}
