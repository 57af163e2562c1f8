package main

import (
	"context"
	"math/rand/v2"
	"time"

	"slotwise.dev/slotwise/test/witness"
)

// kubeletTrouble is what happens to the kubelets: one that starts admits all its pods
// anew, those that run too, against the Node as it is at that moment.
func (c *chaos) kubeletTrouble() stream {
	return stream{pause: 8 * time.Second, troubles: []trouble{
		{"kubelet restarted", 6, func(ctx context.Context, r *rand.Rand) error {
			node := nodeName(r.IntN(c.nodes))
			c.note(witness.Note{Text: "the kubelet of " + node + " restarts"})
			return c.RestartKubelet(ctx, node)
		}},
		{"all kubelets killed", 1, func(ctx context.Context, r *rand.Rand) error {
			c.note(witness.Note{Text: "all kubelets are killed"})
			if err := c.Kubelets.Kill(); err != nil {
				return err
			}
			sleep(ctx, between(r, 0, 5*time.Second))
			return c.startKubelets(ctx)
		}},
	}}
}

// startKubelets starts the kubelets again, as often as it takes: the API server may
// be away.
func (c *chaos) startKubelets(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), backTimeout)
	defer cancel()
	for {
		_, err := c.StartKubelets(ctx)
		if err == nil {
			c.note(witness.Note{Text: "all kubelets are back"})
			return nil
		}
		if !sleep(ctx, time.Second) {
			return err
		}
	}
}
