package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"slotwise.dev/slotwise/test/witness"
)

// setting is what the ConfigMap says.
type setting struct {
	witness.Settings
	junk string // a value that does not parse, of a target that is not set
}

// switches writes new settings again and again.
func (c *chaos) switches() stream {
	return stream{pause: 12 * time.Second, troubles: []trouble{{"settings written", 1, func(ctx context.Context, r *rand.Rand) error {
		return c.write(ctx, c.newSetting(r))
	}}}}
}

// newSetting draws settings: mostly of the other mode, with any targets.
func (c *chaos) newSetting(r *rand.Rand) setting {
	s := setting{}
	s.Prefixes = c.settings.Prefixes != (r.IntN(5) > 0)
	switch r.IntN(4) {
	case 0:
		s.WarmIP, s.MinimumIP = 1+r.IntN(8), 1+r.IntN(10)
	case 1:
		s.WarmPrefix = 1 + r.IntN(2)
	case 2:
		s.junk = "many"
	}
	return s
}

// write puts settings into the ConfigMap, and remembers them if that is certain.
func (c *chaos) write(ctx context.Context, s setting) error {
	data := map[string]string{
		"enable-windows-ipam":              "true",
		"enable-windows-prefix-delegation": strconv.FormatBool(s.Prefixes),
	}
	for key, value := range map[string]int{
		"warm-prefix-target": s.WarmPrefix, "warm-ip-target": s.WarmIP, "minimum-ip-target": s.MinimumIP,
	} {
		if value > 0 {
			data[key] = strconv.Itoa(value)
		}
	}
	if s.junk != "" {
		data["warm-ip-target"] = s.junk
	}
	// The API server may be away.
	for {
		err := c.Configure(ctx, data)
		if err == nil {
			c.settings = s
			c.note(witness.Note{Text: fmt.Sprintf("the settings are now %v", data), Prefixes: &s.Prefixes})
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Second):
		}
	}
}
