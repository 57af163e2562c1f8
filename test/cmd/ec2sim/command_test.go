package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"slotwise.dev/slotwise/test/ec2sim"
)

// output can be read while the command writes to it.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// inventoryOfHelp is the file that the help shows.
func inventoryOfHelp(t *testing.T) string {
	t.Helper()
	_, rest, _ := strings.Cut(help, "YAML file:\n")
	text, _, _ := strings.Cut(rest, "\nWhat happened")
	return file(t, regexp.MustCompile(`(?m)^ {2}`).ReplaceAllString(text, ""))
}

func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "inventory.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestServe runs the command on the inventory of its own help: a client takes a
// prefix, /sim/ tells of it, and the command ends when it is told to.
func TestServe(t *testing.T) {
	url, stop := serve(t, "--throttle-burst", "2", "--throttle-rate", "0.001")
	client := ec2.New(ec2.Options{
		Region:       "eu-west-1",
		BaseEndpoint: &url,
		Credentials:  credentials.NewStaticCredentialsProvider("id", "secret", ""),
		Retryer:      aws.NopRetryer{},
	})
	var failed int
	for range 3 {
		if _, err := client.AssignPrivateIpAddresses(t.Context(), &ec2.AssignPrivateIpAddressesInput{
			NetworkInterfaceId: aws.String("eni-00000000000000002"), Ipv4PrefixCount: aws.Int32(1),
		}); err != nil {
			failed++
		}
	}
	if failed != 1 {
		t.Errorf("%d of 3 calls failed, want the one that is throttled", failed)
	}

	var interfaces []ec2sim.Interface
	get(t, url+"/sim/interfaces", &interfaces)
	if len(interfaces) != 1 || interfaces[0].Primary.String() != "10.0.0.10" ||
		len(interfaces[0].Prefixes) != 2 || interfaces[0].Prefixes[0].String() != "10.0.0.64/28" {
		t.Errorf("/sim/interfaces = %+v", interfaces)
	}
	var counts, failures map[string]int
	get(t, url+"/sim/counts", &counts)
	get(t, url+"/sim/errors", &failures)
	if counts["AssignPrivateIpAddresses"] != 3 || failures[ec2sim.CodeThrottled] != 1 {
		t.Errorf("/sim/counts = %v, /sim/errors = %v", counts, failures)
	}
	var calls []ec2sim.Call
	var changes []ec2sim.Change
	get(t, url+"/sim/calls", &calls)
	get(t, url+"/sim/changes", &changes)
	if len(calls) != 3 || len(changes) != 3 || changes[2].Call != calls[1].Seq {
		t.Errorf("/sim/calls = %+v, /sim/changes = %+v", calls, changes)
	}
	get(t, url+"/sim/check", nil)

	if err := stop(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

// TestShutdown ends the command while a call is in flight: the call is
// answered, and then it is over.
func TestShutdown(t *testing.T) {
	url, stop := serve(t, "--latency", "300ms")
	answered := make(chan int, 1)
	go func() {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("Action=DescribeSubnets"))
		r.Header.Set("Authorization", "anybody")
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			answered <- 0
			return
		}
		answer.Body.Close()
		answered <- answer.StatusCode
	}()
	for calls := []ec2sim.Call(nil); len(calls) == 0; {
		get(t, url+"/sim/calls", &calls)
	}
	if err := stop(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	if got := <-answered; got != http.StatusOK {
		t.Errorf("the call in flight ended with status %d", got)
	}
}

// serve runs the command on the inventory of its help. The function that it
// returns ends it.
func serve(t *testing.T, flags ...string) (url string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var out output
	cmd := command()
	cmd.SetOut(&out)
	cmd.SetArgs(append([]string{"--listen", "127.0.0.1:0", "--inventory", inventoryOfHelp(t)}, flags...))
	ended := make(chan error, 1)
	go func() { ended <- cmd.ExecuteContext(ctx) }()
	return waitForURL(t, &out), func() error {
		cancel()
		select {
		case err := <-ended:
			return err
		case <-time.After(10 * time.Second):
			return errors.New("it does not end")
		}
	}
}

func waitForURL(t *testing.T, out *output) string {
	t.Helper()
	pattern := regexp.MustCompile(`at (http://\S+)`)
	for range 500 {
		if found := pattern.FindStringSubmatch(out.String()); found != nil {
			return found[1]
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("no URL in %q", out.String())
	return ""
}

// get reads JSON into v, where v is not nil.
func get(t *testing.T, url string, v any) {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", url, answer.Status)
	}
	if v == nil {
		return
	}
	if err := json.NewDecoder(answer.Body).Decode(v); err != nil {
		t.Fatalf("%s: %v", url, err)
	}
}

func TestFlags(t *testing.T) {
	everything := func(l ec2sim.Latency) map[string]ec2sim.Latency {
		return map[string]ec2sim.Latency{ec2sim.AnyAction: l}
	}
	tests := map[string]struct {
		args string
		want ec2sim.Options
	}{
		"none":     {"", ec2sim.Options{Seed: 1, Latency: everything(ec2sim.Latency{})}},
		"seed":     {"--seed 7", ec2sim.Options{Seed: 7, Latency: everything(ec2sim.Latency{})}},
		"latency":  {"--latency 300ms --jitter 100ms", ec2sim.Options{Seed: 1, Latency: everything(ec2sim.Latency{Mean: 300 * time.Millisecond, Jitter: 100 * time.Millisecond})}},
		"lag":      {"--lag 5s", ec2sim.Options{Seed: 1, Latency: everything(ec2sim.Latency{}), Lag: 5 * time.Second}},
		"pages":    {"--page-size 50", ec2sim.Options{Seed: 1, Latency: everything(ec2sim.Latency{}), PageSize: 50}},
		"reuse":    {"--longest-free-first", ec2sim.Options{Seed: 1, Latency: everything(ec2sim.Latency{}), Reuse: ec2sim.LongestFreeFirst}},
		"throttle": {"--throttle", ec2sim.Options{Seed: 1, Latency: everything(ec2sim.Latency{}), Throttle: ec2sim.AWSThrottling()}},
		"own throttle": {"--throttle-burst 9 --throttle-rate 0.5", ec2sim.Options{
			Seed: 1, Latency: everything(ec2sim.Latency{}),
			Throttle: map[string]ec2sim.Bucket{ec2sim.AnyAction: {Burst: 9, PerSecond: 0.5}},
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var c config
			cmd := &cobra.Command{}
			c.bind(cmd)
			if err := cmd.ParseFlags(strings.Fields(test.args)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, c.options()); diff != "" {
				t.Errorf("options (-want +got):\n%s", diff)
			}
		})
	}
}

// TestHelpTeaches checks that the help names every flag and what the server
// tells.
func TestHelpTeaches(t *testing.T) {
	var out output
	cmd := command()
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"--help"})
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"--inventory", "--latency", "--throttle", "subnets:", "/sim/", "AWS_ACCESS_KEY_ID"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the help does not say %s", want)
		}
	}
}

func TestRefuses(t *testing.T) {
	good := inventoryOfHelp(t)
	tests := map[string]struct {
		args []string
		want string // part of the error
	}{
		"no inventory":            {nil, `"inventory" not set`},
		"no such file":            {[]string{"--inventory", "/nowhere.yaml"}, "no such file"},
		"an unknown key":          {[]string{"--inventory", file(t, "subnet: []")}, `unknown field "subnet"`},
		"a bad block":             {[]string{"--inventory", file(t, "subnets: [{id: s, cidr: ten}]")}, "netip"},
		"an inventory that fails": {[]string{"--inventory", file(t, "instances: [{id: i, type: c5.large, subnet: s}]")}, ec2sim.CodeInvalidSubnet},
		"a bad address":           {[]string{"--inventory", good, "--listen", "nowhere"}, "listen"},
		"half a throttle":         {[]string{"--inventory", good, "--throttle-burst", "1"}, "throttle-rate"},
		"two throttles":           {[]string{"--inventory", good, "--throttle", "--throttle-burst", "1", "--throttle-rate", "1"}, "none of the others can be"},
		"an argument":             {[]string{"--inventory", good, "more"}, "unknown command"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			cmd := command()
			cmd.SetArgs(test.args)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second) // should it serve instead
			defer cancel()
			err := cmd.ExecuteContext(ctx)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error = %v, want %q", err, test.want)
			}
		})
	}
}
