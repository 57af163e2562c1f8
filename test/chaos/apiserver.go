package main

import (
	"context"
	"math/rand/v2"
	"time"

	"slotwise.dev/slotwise/test/witness"
)

// backTimeout is how long the API server may take to come back.
const backTimeout = 2 * time.Minute

// serverTrouble is what happens to the API server. Where it is away for longer
// than the lease, the replica that leads has to stop.
func (c *chaos) serverTrouble() stream {
	return stream{pause: 80 * time.Second, troubles: []trouble{
		{"API server killed", 2, func(ctx context.Context, _ *rand.Rand) error {
			return c.restartServer(ctx, "the API server is killed", c.APIServer.Kill)
		}},
		{"API server restarted", 2, func(ctx context.Context, _ *rand.Rand) error {
			return c.restartServer(ctx, "the API server is restarted", func(context.Context) error { return c.APIServer.Stop() })
		}},
		{"API server frozen", 2, func(ctx context.Context, r *rand.Rand) error {
			return c.freezeServer(ctx, between(r, time.Second, 5*time.Second))
		}},
		{"API server frozen for longer than the lease", 1, func(ctx context.Context, r *rand.Rand) error {
			return c.freezeServer(ctx, c.lease+between(r, 0, 10*time.Second))
		}},
	}}
}

func (c *chaos) restartServer(ctx context.Context, what string, end func(context.Context) error) error {
	c.harmed("API server restarted", what)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), backTimeout)
	defer cancel()
	if err := end(ctx); err != nil {
		return err
	}
	err := c.APIServer.Start(ctx)
	c.note(witness.Note{Text: "the API server is back"})
	return err
}

func (c *chaos) freezeServer(ctx context.Context, d time.Duration) error {
	c.harmed("API server frozen", "the API server freezes for "+d.String())
	if err := c.APIServer.Freeze(); err != nil {
		return err
	}
	sleep(ctx, d)
	c.note(witness.Note{Text: "the API server thaws"})
	return c.APIServer.Thaw()
}
