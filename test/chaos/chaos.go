package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"slotwise.dev/slotwise/test/ec2sim"
	"slotwise.dev/slotwise/test/testenv"
	"slotwise.dev/slotwise/test/witness"
)

// options are what is asked for.
type options struct {
	duration time.Duration
	seed     uint64
	nodes    int
	lease    time.Duration
	// patience is how long everything may take to come to rest: a cooldown, the
	// longest pause after a shortage in a subnet (2 min), and at worst the describe
	// of what nobody doubts (5 min).
	patience time.Duration
	verbose  bool
	keep     bool
}

// chaos is one run.
type chaos struct {
	options
	*testenv.Env
	*witness.Witness
	began    time.Time
	out      io.Writer
	settings setting // as last written
	told     int     // violations that were told of

	replicas, schedulers []*keeper

	mu     sync.Mutex
	counts map[string]int // of what was done, by its name
	harms  []harm
}

// harm is a time at which the process that led came to harm.
type harm struct {
	kind string
	at   time.Time
}

const startTimeout = 5 * time.Minute

// run runs chaos from the start to the verdict.
func run(ctx context.Context, o options, out io.Writer) (err error) {
	c := &chaos{options: o, began: time.Now(), out: out, counts: map[string]int{}}
	c.say("seed %d, %s, %d nodes", o.seed, o.duration, o.nodes)
	if err := c.start(ctx); err != nil {
		return err
	}
	// What is undone at the end has to outlive an interruption.
	living, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	if err = c.prepare(living); err == nil {
		err = c.story(ctx, living)
	}
	end()
	if err != nil {
		return c.Fail(err)
	}
	if o.keep {
		c.Keep()
		c.say("logs in %s", c.LogDir())
	}
	return c.Stop()
}

// start starts the system with two replicas of Slotwise.
func (c *chaos) start(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	c.Env, err = testenv.Start(ctx, testenv.Options{
		Replicas: 2,
		EC2: ec2sim.Options{Seed: c.seed, PageSize: 20, Latency: map[string]ec2sim.Latency{
			ec2sim.AnyAction:           {Mean: 80 * time.Millisecond, Jitter: 20 * time.Millisecond},
			"AssignPrivateIpAddresses": {Mean: 300 * time.Millisecond, Jitter: 100 * time.Millisecond},
		}},
		Args: []string{
			"--lease-duration=" + c.lease.String(),
			"--lease-renew-deadline=" + (c.lease * 2 / 3).String(),
			"--lease-retry-period=" + (c.lease / 8).String(),
		},
		Progress: func(what string) { c.say("%s", what) },
	})
	return err
}

// prepare builds the cluster, with the witness there before the first pod.
func (c *chaos) prepare(living context.Context) error {
	c.Witness = witness.Watch(living, c.Client, c.EC2, namespace, ours)
	c.keep()
	for _, k := range slices.Concat(c.replicas, c.schedulers) {
		go k.run(living) // on a busy machine a replica may lose its lease at any time
	}
	return c.build(living)
}

// story lets things go wrong, then brings everything to rest, and judges.
func (c *chaos) story(ctx, living context.Context) error {
	telling, told := context.WithCancel(living)
	defer told()
	go c.report(telling)
	c.trouble(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	// What was written last may not have had an answer.
	if err := c.write(ctx, c.newSetting(c.random(19))); err != nil {
		return err
	}
	if err := c.restartSchedulers(); err != nil {
		return err
	}
	c.say("no more trouble; everything comes to rest, prefix mode: %v", c.settings.Prefixes)
	lost := c.rest(ctx)
	if ctx.Err() == nil && len(lost) == 0 {
		c.say("all pods go")
		c.deleteAll(ctx)
		lost = c.rest(ctx)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return c.verdict(append(c.Violations(), lost...))
}

// trouble runs everything that goes wrong, for as long as was asked for, and
// returns once all of it is over.
func (c *chaos) trouble(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, c.duration)
	defer cancel()
	var all sync.WaitGroup
	all.Go(func() { (&churn{chaos: c, random: c.random(0)}).run(ctx) })
	all.Go(func() { (&crowd{chaos: c}).run(ctx) })
	for i, s := range []stream{
		c.processTrouble(), c.serverTrouble(), c.ec2Trouble(), c.neighbours(), c.switches(), c.kubeletTrouble(),
		c.lastingRefusals(), c.lastingRefusals(), c.otherClients(), c.objectTrouble(), c.twins(),
	} {
		all.Go(func() { c.run(ctx, s, c.random(uint64(i)+1)) })
	}
	all.Wait()
}

// random is a source of chance that depends on the seed and on who asks.
func (c *chaos) random(who uint64) *rand.Rand { return rand.New(rand.NewPCG(c.seed, who)) }

// rest waits until nothing is lost, and returns what is after a while.
func (c *chaos) rest(ctx context.Context) (lost []witness.Violation) {
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	from := time.Now()
	for n := 0; ; n++ {
		found, err := c.lost(ctx)
		if err == nil && len(found) == 0 {
			c.say("at rest after %s: EC2, the ledgers and the pods agree", time.Since(from).Round(time.Second))
			return nil
		}
		if err == nil {
			lost = found
		}
		if n%60 == 59 {
			c.say("not at rest yet, %d things differ: %s", len(lost), lost[0].Text)
		}
		if !sleep(ctx, time.Second) {
			return lost
		}
	}
}

// lost is what is not as it must be at rest.
func (c *chaos) lost(ctx context.Context) ([]witness.Violation, error) {
	state, err := witness.Read(ctx, c.Kube)
	if err != nil {
		return nil, err
	}
	return c.Rest(state, c.settings.Settings), nil
}

// histories is how many violations are told of at length.
const histories = 5

// verdict tells what was counted, and is an error if a promise was broken.
func (c *chaos) verdict(found []witness.Violation) error {
	c.summary(found)
	broken := 0
	for _, v := range found {
		if !v.Broken() {
			continue
		}
		if broken++; broken <= histories {
			c.print("\n" + c.History(v, c.began))
		}
	}
	if broken > 0 {
		return fmt.Errorf("%d violations; run it again with --seed %d", broken, c.seed)
	}
	if len(c.Lives()) == 0 {
		return errors.New("not one pod was seen: nothing was tested")
	}
	c.print("\nEvery promise was kept.\n")
	return nil
}

// note tells the witness of something that was done.
func (c *chaos) note(n witness.Note) {
	c.Note(n)
	if c.verbose {
		c.say("  - %s", n.Text)
	}
}

// did counts something that was done.
func (c *chaos) did(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[what]++
}

// harmed notes that the process that led came to harm.
func (c *chaos) harmed(kind, text string) {
	c.note(witness.Note{Text: text, Harm: true})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.harms = append(c.harms, harm{kind, time.Now()})
}
