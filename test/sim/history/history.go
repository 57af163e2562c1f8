// Package history makes the stories that the simulation plays: a cluster, and what
// happens to it, as a value. A history is made from a seed, prints as lines that people
// read, is written as JSON for a regression test, and shrinks to the part of it that
// matters.
//
// It knows neither the product nor the simulation, so whoever plays or judges histories
// may come in.
package history

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"time"
)

// History is a cluster and what happens to it.
type History struct {
	Seed    uint64  `json:"seed"` // of all chance that is left to those who play it
	Why     string  `json:"why,omitempty"`
	Cluster Cluster `json:"cluster"`
	Steps   []Step  `json:"steps"` // in the order of time, all before Trouble
	// Trouble is for how long things go wrong. After it everything is undone that lasts,
	// and the system has to come to rest.
	Trouble Duration `json:"trouble"`
	// Ending is what happens after that, without a time: each step when all is at rest,
	// and all has to come to rest again.
	Ending []Step `json:"ending,omitempty"`
}

// Cluster is what there is in the beginning.
type Cluster struct {
	// Observe has Slotwise stand beside AWS's controller, which is played.
	Observe  bool     `json:"observe,omitempty"`
	Replicas int      `json:"replicas"`
	Lease    Duration `json:"lease"`
	Settings Settings `json:"settings"`
	Subnets  []Subnet `json:"subnets"`
	Nodes    []Node   `json:"nodes"`
	// Latency is how long a change in EC2 takes on average. A read takes a quarter of it.
	Latency Duration `json:"latency"`
	// Teardown is how long a kubelet takes to take down a sandbox, and NodeLag how far
	// what it knows of its Node is behind.
	Teardown Duration `json:"teardown"`
	NodeLag  Duration `json:"nodeLag"`
	// Sample is how many nodes a scheduler looks at, as kube-scheduler does where it has
	// hundreds; 0: all.
	Sample int `json:"sample,omitempty"`
}

// Subnet is one of EC2's.
type Subnet struct {
	ID   string       `json:"id"`
	CIDR netip.Prefix `json:"cidr"`
}

// Node is a Windows node.
type Node struct {
	Name   string `json:"name"`
	Type   string `json:"type"` // of its instance
	Subnet string `json:"subnet"`
	Pods   int    `json:"pods"` // max-pods
}

// Settings are what the ConfigMap says. Targets that are not positive are not set.
type Settings struct {
	Off        bool   `json:"off,omitempty"`
	Prefixes   bool   `json:"prefixes,omitempty"`
	WarmPrefix int    `json:"warmPrefix,omitempty"`
	WarmIP     int    `json:"warmIP,omitempty"`
	MinimumIP  int    `json:"minimumIP,omitempty"`
	Junk       string `json:"junk,omitempty"` // a value that does not parse, of warm-ip-target
}

// Duration is a time.Duration that is a text such as 1m30s in JSON.
type Duration time.Duration

// D is the time.Duration.
func (d Duration) D() time.Duration { return time.Duration(d) }

// String is the text.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText is that of encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText is that of encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = Duration(parsed)
	return err
}

// Read reads a history from a file in JSON.
func Read(path string) (h History, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return h, err
	}
	if err := json.Unmarshal(text, &h); err != nil {
		return h, fmt.Errorf("%s: %w", path, err)
	}
	return h, nil
}

// Write writes it to a file in JSON, one step a line.
func (h History) Write(path string) error {
	steps := h.Steps
	h.Steps = nil // written by hand below
	head, err := json.MarshalIndent(h, "", "  ")
	if err != nil {
		return err
	}
	body := []byte("[")
	for i, s := range steps {
		line, err := json.Marshal(s)
		if err != nil {
			return err
		}
		if i > 0 {
			body = append(body, ',')
		}
		body = append(append(body, "\n    "...), line...)
	}
	body = append(body, "\n  ]"...)
	text := bytes.Replace(head, []byte(`"steps": null`), append([]byte(`"steps": `), body...), 1)
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
