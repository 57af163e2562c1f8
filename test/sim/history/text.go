package history

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// String is the history in lines that people read.
func (h History) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "history of seed %d, trouble for %s\n", h.Seed, h.Trouble)
	fmt.Fprintf(&b, "  %s\n", h.Cluster)
	for _, s := range h.Steps {
		fmt.Fprintf(&b, "  %s\n", s)
	}
	for _, s := range h.Ending {
		fmt.Fprintf(&b, "  at rest: %s\n", s.text())
	}
	return b.String()
}

// String is the cluster in a line.
func (c Cluster) String() string {
	mode := "manage"
	if c.Observe {
		mode = "observe"
	}
	var subnets, nodes []string
	for _, s := range c.Subnets {
		subnets = append(subnets, s.ID+" "+s.CIDR.String())
	}
	for _, n := range c.Nodes {
		nodes = append(nodes, n.String())
	}
	sample := ""
	if c.Sample > 0 {
		sample = fmt.Sprintf(", samples of %d nodes", c.Sample)
	}
	return fmt.Sprintf("%s, %d replicas with a lease of %s, %s; EC2 %s; teardown %s, node lag %s%s\n  subnets %s\n  nodes %s",
		mode, c.Replicas, c.Lease, c.Settings, c.Latency, c.Teardown, c.NodeLag, sample, strings.Join(subnets, ", "), strings.Join(nodes, ", "))
}

// String is the node in a few words.
func (n Node) String() string {
	return fmt.Sprintf("%s (%s in %s, %d pods)", n.Name, n.Type, n.Subnet, n.Pods)
}

// String is what they say.
func (s Settings) String() string {
	words := []string{"secondary IPs"}
	if s.Prefixes {
		words[0] = "prefixes"
	}
	if s.Off {
		words[0] = "off, " + words[0]
	}
	for _, target := range []struct {
		name  string
		value int
	}{{"warm prefixes", s.WarmPrefix}, {"warm IPs", s.WarmIP}, {"at least", s.MinimumIP}} {
		if target.value > 0 {
			words = append(words, fmt.Sprintf("%s %d", target.name, target.value))
		}
	}
	if s.Junk != "" {
		words = append(words, fmt.Sprintf("warm-ip-target %q", s.Junk))
	}
	return strings.Join(words, ", ")
}

// String is the pod in a few words.
func (p Pod) String() string {
	words := []string{p.Name}
	add := func(is bool, format string, args ...any) {
		if is {
			words = append(words, fmt.Sprintf(format, args...))
		}
	}
	add(p.Bound != "", "bound by hand to %s", p.Bound)
	add(p.Plain, "of the plain scheduler")
	add(p.Only != "", "only for %s", p.Only)
	add(p.Subnet != "", "for nodes of %s", p.Subnet)
	add(p.Priority > 0, "priority %d", p.Priority)
	add(p.Protected, "protected")
	add(p.Quiet, "without asking")
	add(p.Starts > 0, "starts after %s", p.Starts)
	add(p.Runs > 0, "runs for %s", p.Runs)
	add(p.Stops > 0, "stops within %s", p.Stops)
	return strings.Join(words, ", ")
}

// String is the step in a line.
func (s Step) String() string {
	at := time.Duration(s.At)
	clock := fmt.Sprintf("%02d:%06.3f", int(at.Minutes()), (at % time.Minute).Seconds())
	return clock + "  " + s.text()
}

func (s Step) text() string {
	of := cmp.Or(s.On, "all")
	switch s.Act {
	case Create:
		if s.Count > 1 {
			return fmt.Sprintf("%d pods come: %s", s.Count, s.Pod)
		}
		return fmt.Sprintf("a pod comes: %s", s.Pod)
	case Replace:
		return fmt.Sprintf("pod %s is replaced after %s: %s", of, s.For, s.Pod)
	case RollOut:
		return fmt.Sprintf("pod %s is rolled out: %s", of, s.Pod)
	case Set:
		return fmt.Sprintf("settings: %s", s.Settings)
	case Join:
		return fmt.Sprintf("a node joins: %s", s.Node)
	case Crash, Freeze:
		return fmt.Sprintf("%s of the %s after %d effects, for %s", s.Act, of, s.Count, s.For)
	case EC2Fault:
		return fmt.Sprintf("EC2 has %s%s for %.0f%% of %s, for %s", s.Fault, s.slower(), 100*s.Chance, cmp.Or(s.Action, "all calls"), s.For)
	case EC2Refuses:
		return fmt.Sprintf("EC2 answers %s to %s for %s, for %s", s.Code, cmp.Or(s.Action, "all changes"), of, s.For)
	case OthersOccupy:
		return fmt.Sprintf("others take %d addresses of %s, for %s", s.Count, of, s.For)
	default:
		return s.plainly()
	}
}

// plainly is the name of the act with what it has of the usual figures.
func (s Step) plainly() string {
	text := strings.ReplaceAll(string(s.Act), "-", " ")
	if s.On != "" {
		text += " of " + s.On
	}
	text += s.slower()
	if s.Chance > 0 {
		text += fmt.Sprintf(" of %.0f%%", 100*s.Chance)
	}
	if s.For > 0 {
		text += " for " + s.For.String()
	}
	return text
}

func (s Step) slower() string {
	if s.Delay == 0 {
		return ""
	}
	return " by " + s.Delay.String()
}
