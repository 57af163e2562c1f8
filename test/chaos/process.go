package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"time"

	"slotwise.dev/slotwise/test/controlplane"
	"slotwise.dev/slotwise/test/witness"
)

// keeper plays the kubelet of one process: it starts it again whenever it has
// ended.
type keeper struct {
	*controlplane.Process // the latest; nil only where the last start failed

	name  string
	start func(context.Context) (*controlplane.Process, error)
	chaos *chaos

	mu        sync.Mutex
	notBefore time.Time // when it may be started again
	ended     bool      // on purpose, or told of
}

// grace is how long a process may take to end in order, as in
// manifests/base/deployment.yaml.
const grace = 45 * time.Second

// keep has all processes that are to run kept.
func (c *chaos) keep() {
	for _, r := range c.Replicas {
		c.replicas = append(c.replicas, &keeper{Process: r.Process, name: r.Name, chaos: c,
			start: func(ctx context.Context) (*controlplane.Process, error) {
				err := r.Start(ctx)
				return r.Process, err
			},
		})
	}
	c.schedulers = []*keeper{
		{Process: c.Scheduler, name: "kube-scheduler", chaos: c, start: func(ctx context.Context) (*controlplane.Process, error) {
			err := c.StartScheduler(ctx)
			return c.Scheduler, err
		}},
		{name: "kube-scheduler-plain", chaos: c, start: c.startPlain, ended: true},
	}
}

// restartSchedulers starts every kube-scheduler anew. While the API server was
// away, pods may have gone and others come under their names; kube-scheduler
// 1.37 takes the new pod for the old one then. Where both were bound, it ends
// itself; where not, it may forget the new one for five minutes.
func (c *chaos) restartSchedulers() error {
	var errs []error
	for _, k := range c.schedulers {
		errs = append(errs, k.kill(0))
	}
	return errors.Join(errs...)
}

func (k *keeper) run(ctx context.Context) {
	for sleep(ctx, 50*time.Millisecond) {
		k.mu.Lock()
		if !k.runs() {
			k.revive(ctx)
		}
		k.mu.Unlock()
	}
}

// runs says that the process has not ended. k is locked.
func (k *keeper) runs() bool {
	if k.Process == nil {
		return false
	}
	select {
	case <-k.Done():
		return false
	default:
		return true
	}
}

// revive starts the process again, if it is time. k is locked.
func (k *keeper) revive(ctx context.Context) {
	if !k.ended {
		k.ended = true
		k.chaos.did(k.name + " ended by itself")
		k.chaos.note(witness.Note{Text: k.name + " ended by itself", Harm: true})
	}
	if time.Now().Before(k.notBefore) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var err error
	if k.Process, err = k.start(ctx); err == nil {
		k.ended = false
		k.chaos.note(witness.Note{Text: k.name + " started"})
	}
}

// kill ends the process at once, and keeps it down for a while.
func (k *keeper) kill(down time.Duration) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.runs() {
		return nil
	}
	k.ended, k.notBefore = true, time.Now().Add(down)
	return k.Kill()
}

// term asks the process to end in order.
func (k *keeper) term() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.runs() {
		return nil
	}
	k.ended = true
	if err := syscall.Kill(k.PID(), syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-k.Done():
	case <-time.After(grace):
		k.chaos.did("handovers that took longer than their grace period")
	}
	return k.Kill()
}

// freeze stops the process where it stands for a while.
func (k *keeper) freeze(ctx context.Context, d time.Duration) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.runs() {
		return nil
	}
	if err := k.Freeze(); err != nil {
		return err
	}
	sleep(ctx, d)
	return k.Thaw()
}

// leader waits until a replica leads, and finds its keeper.
func (c *chaos) leader(ctx context.Context) (leader, standby *keeper, err error) {
	r, err := c.Leader(ctx)
	for err != nil {
		if !sleep(ctx, time.Second) {
			return nil, nil, err
		}
		r, err = c.Leader(ctx)
	}
	for _, k := range c.replicas {
		if k.name == r.Name {
			leader = k
		} else {
			standby = k
		}
	}
	return leader, standby, nil
}

// onLeader makes trouble of what is done to the replica that leads.
func (c *chaos) onLeader(name string, weight int, do func(ctx context.Context, r *rand.Rand, leader, standby *keeper) error) trouble {
	return trouble{name, weight, func(ctx context.Context, r *rand.Rand) error {
		leader, standby, err := c.leader(ctx)
		if err != nil {
			return err
		}
		c.harmed(name, name+": "+leader.name)
		return do(ctx, r, leader, standby)
	}}
}

// processTrouble is what happens to the replicas of Slotwise. After a crash, what is
// not known to have been free cools for 30 s (I2). With a crash sooner than that, again
// and again, there would be no address to give, and nothing to see.
func (c *chaos) processTrouble() stream {
	return stream{pause: 45 * time.Second, troubles: []trouble{
		c.onLeader("leader killed, started at once", 3, func(_ context.Context, _ *rand.Rand, leader, _ *keeper) error {
			return leader.kill(0)
		}),
		c.onLeader("leader killed, stays away", 3, func(_ context.Context, r *rand.Rand, leader, _ *keeper) error {
			return leader.kill(between(r, c.lease, 2*c.lease))
		}),
		c.onLeader("both killed", 1, func(_ context.Context, r *rand.Rand, leader, standby *keeper) error {
			if err := standby.kill(between(r, 0, 2*time.Second)); err != nil {
				return err
			}
			return leader.kill(between(r, 0, 2*time.Second))
		}),
		{"standby killed", 1, func(ctx context.Context, _ *rand.Rand) error {
			_, standby, err := c.leader(ctx)
			if err != nil {
				return err
			}
			return standby.kill(0)
		}},
		c.onLeader("leader ended in order", 3, func(_ context.Context, _ *rand.Rand, leader, _ *keeper) error {
			return leader.term()
		}),
		c.onLeader("leader frozen for longer than its lease", 3, func(ctx context.Context, r *rand.Rand, leader, _ *keeper) error {
			err := leader.freeze(ctx, c.lease+between(r, time.Second, 8*time.Second))
			c.note(witness.Note{Text: leader.name + " thaws", Thaw: true})
			return err
		}),
		c.onLeader("leader frozen for a moment", 1, func(ctx context.Context, r *rand.Rand, leader, _ *keeper) error {
			d := between(r, c.lease/10, c.lease/2)
			err := leader.freeze(ctx, d)
			c.note(witness.Note{Text: fmt.Sprintf("%s thaws after %s", leader.name, d)})
			return err
		}),
	}}
}
