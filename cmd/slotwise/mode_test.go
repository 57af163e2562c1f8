package main

import (
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// TestMode: --mode and --observe-interval, and what they come to.
func TestMode(t *testing.T) {
	for name, c := range map[string]struct {
		args    []string
		observe time.Duration
		refused string // part of the error; empty: none
	}{
		"default":           {},
		"manage":            {args: []string{"--mode=manage", "--observe-interval=5s"}},
		"observe":           {args: []string{"--mode=observe"}, observe: 15 * time.Second},
		"observe, quicker":  {args: []string{"--mode=observe", "--observe-interval=1s"}, observe: time.Second},
		"observe, too fast": {args: []string{"--mode=observe", "--observe-interval=999ms"}, refused: "want a second or more"},
		"misspelt":          {args: []string{"--mode=Observe"}, refused: "want manage or observe"},
		"empty":             {args: []string{"--mode="}, refused: "want manage or observe"},
	} {
		t.Run(name, func(t *testing.T) {
			var m mode
			flags := pflag.NewFlagSet(name, pflag.ContinueOnError)
			m.register(flags)
			if err := flags.Parse(c.args); err != nil {
				t.Fatal(err)
			}
			err := m.check()
			if c.refused != "" {
				if err == nil || !strings.Contains(err.Error(), c.refused) {
					t.Errorf("got %v, want a refusal: %s", err, c.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			p, now := m.policy(), time.Now()
			if got := p.NextLook(now).Sub(now); p.Gives() == (c.observe > 0) || c.observe > 0 && got != c.observe {
				t.Errorf("gives addresses: %t, looks every %s; want looks every %s (0: it gives)", p.Gives(), got, c.observe)
			}
		})
	}
}
