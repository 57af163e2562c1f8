package main

import (
	"bytes"
	"context"
	"encoding/json"
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

// worldOfHelp is the file that the help shows.
func worldOfHelp(t *testing.T) string {
	t.Helper()
	_, rest, _ := strings.Cut(help, "YAML file:\n")
	text, _, _ := strings.Cut(rest, "\nWhat happened")
	return file(t, regexp.MustCompile(`(?m)^ {2}`).ReplaceAllString(text, ""))
}

func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "world.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestServe runs the command on the world of its own help: a client takes a
// prefix, /sim/ tells of it, and the command ends when it is told to.
func TestServe(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	var out output
	cmd := command()
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"--listen", "127.0.0.1:0", "--world", worldOfHelp(t), "--throttle-burst", "2", "--throttle-rate", "0.001"})
	ended := make(chan error, 1)
	go func() { ended <- cmd.ExecuteContext(ctx) }()

	url := waitForURL(t, &out)
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

	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it does not end")
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

func TestRefuses(t *testing.T) {
	good := worldOfHelp(t)
	tests := map[string]struct {
		args []string
		want string // part of the error
	}{
		"no world":           {nil, `"world" not set`},
		"no such file":       {[]string{"--world", "/nowhere.yaml"}, "no such file"},
		"an unknown key":     {[]string{"--world", file(t, "subnet: []")}, `unknown field "subnet"`},
		"a bad block":        {[]string{"--world", file(t, "subnets: [{id: s, cidr: ten}]")}, "netip"},
		"a world that fails": {[]string{"--world", file(t, "instances: [{id: i, type: c5.large, subnet: s}]")}, ec2sim.CodeInvalidSubnet},
		"a bad address":      {[]string{"--world", good, "--listen", "nowhere"}, "listen"},
		"half a throttle":    {[]string{"--world", good, "--throttle-burst", "1"}, "throttle-rate"},
		"two throttles":      {[]string{"--world", good, "--throttle", "--throttle-burst", "1", "--throttle-rate", "1"}, "none of the others can be"},
		"an argument":        {[]string{"--world", good, "more"}, "unknown command"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			cmd := command()
			cmd.SetArgs(test.args)
			err := cmd.ExecuteContext(t.Context())
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error = %v, want %q", err, test.want)
			}
		})
	}
}
