// Package monitoring has Prometheus's own engine try the alert rules of
// manifests/monitoring, and read the queries of the dashboard. It is a module of its
// own, so that Prometheus is no part of Slotwise's.
//
// Only tests come in.
package monitoring

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
)

// end is how many minutes a case lasts. Trouble begins in the tenth.
const end = 75

// healthy are two replicas, of which one leads, and all is well: what they show, one
// value a minute, in the notation of Prometheus's own tests (1x75 is 1, and then 75
// times the same).
var healthy = map[string]string{
	`slotwise_leader{pod="a"}`:                                                                 "1x75",
	`slotwise_leader{pod="b"}`:                                                                 "0x75",
	`slotwise_enabled{pod="a"}`:                                                                "1x75",
	`slotwise_pods_waiting{pod="a"}`:                                                           "0x75",
	`slotwise_pods_waiting{pod="b"}`:                                                           "0x75",
	`slotwise_nodes{pod="a",state="ready"}`:                                                    "3x75",
	`slotwise_nodes{pod="a",state="stalled"}`:                                                  "0x75",
	`slotwise_nodes{pod="a",state="not_ready"}`:                                                "0x75",
	`slotwise_slots{pod="a",holds="secondary_ip"}`:                                             "10x75",
	`slotwise_slots{pod="a",holds="prefix"}`:                                                   "5x75",
	`slotwise_slots{pod="b",holds="prefix"}`:                                                   "0x75",
	`slotwise_subnet_room{pod="a",subnet="subnet-1",kind="prefix"}`:                            "9x75",
	`slotwise_subnet_room{pod="a",subnet="subnet-1",kind="secondary-ip"}`:                      "150x75",
	`slotwise_subnet_room{pod="a",subnet="subnet-2",kind="prefix"}`:                            "9x75",
	`slotwise_subnet_room{pod="a",subnet="subnet-2",kind="secondary-ip"}`:                      "150x75",
	`slotwise_addresses_duplicated_total{pod="a"}`:                                             "0x75",
	`slotwise_addresses_lost_total{pod="a"}`:                                                   "0x75",
	`slotwise_ledger_corrected_total{pod="a"}`:                                                 "2x75",
	`slotwise_ec2_calls_total{pod="a",action="AssignPrivateIpAddresses",code=""}`:              "0+5x75",
	`slotwise_ec2_calls_total{pod="a",action="DescribeSubnets",code="RequestLimitExceeded"}`:   "0+1x75",
	`slotwise_certificate_not_after_timestamp_seconds{pod="a",certificate="serving"}`:          "8000000x75",
	`slotwise_certificate_not_after_timestamp_seconds{pod="b",certificate="scheduler-client"}`: "8000000x75",
}

// firing is from and until which minute an alert fires, with its summary at first.
type firing struct {
	From, To int
	Summary  string
}

// cases are what may happen: series that replace those of the same name and labels
// above, and what then fires, by alert.
var cases = map[string]struct {
	series map[string]string
	want   map[string]firing
}{
	"all is well": {},
	"the leader has gone": {
		series: map[string]string{`slotwise_leader{pod="a"}`: "1x9 stale"},
		want:   map[string]firing{"SlotwiseNoLeader": {12, end, "No replica of Slotwise leads."}},
	},
	"another leads, a minute later": {
		series: map[string]string{`slotwise_leader{pod="a"}`: "1x9 stale", `slotwise_leader{pod="b"}`: "0x10 1x64"},
	},
	"nobody leads any more": {
		series: map[string]string{`slotwise_leader{pod="a"}`: "1x9 0x65"},
		want:   map[string]firing{"SlotwiseNoLeader": {12, end, "No replica of Slotwise leads."}},
	},
	"two lead": {
		series: map[string]string{`slotwise_leader{pod="b"}`: "0x9 1x65"},
		want:   map[string]firing{"SlotwiseTwoLeaders": {12, end, "2 replicas of Slotwise say that they lead."}},
	},
	"pods wait for an address": {
		series: map[string]string{`slotwise_pods_waiting{pod="a"}`: "0x9 3x65"},
		want:   map[string]firing{"SlotwisePodsWaiting": {20, end, "3 pods have been without an address for ten minutes."}},
	},
	"Slotwise is off, and pods wait": {
		series: map[string]string{`slotwise_enabled{pod="a"}`: "1x9 0x65", `slotwise_pods_waiting{pod="a"}`: "0x9 1x5 0x59"},
		want:   map[string]firing{"SlotwiseOffWhilePodsWait": {12, 15, "Slotwise is off, and Windows pods wait for an address."}},
	},
	"Slotwise is off, and nobody waits": {series: map[string]string{`slotwise_enabled{pod="a"}`: "1x9 0x65"}},
	"pods wait for a moment, again and again": {
		series: map[string]string{`slotwise_pods_waiting{pod="a"}`: "0 3 3 3 0 5 5 5 5 5 5 5 5 5 0 7 7 7 7 0x56"},
	},
	"a node cannot be read": {
		series: map[string]string{`slotwise_nodes{pod="a",state="not_ready"}`: "0x9 1x65"},
		want:   map[string]firing{"SlotwiseNodesNotReady": {25, end, "1 Windows nodes get no addresses: they could not be read from EC2."}},
	},
	"EC2 refuses on one node": {
		series: map[string]string{`slotwise_nodes{pod="a",state="stalled"}`: "0x9 1x65"},
		want:   map[string]firing{"SlotwiseNodesStalled": {20, end, "On 1 Windows nodes EC2 does not do what it is asked."}},
	},
	"a subnet has no block left": {
		series: map[string]string{`slotwise_subnet_room{pod="a",subnet="subnet-2",kind="prefix"}`: "1x9 0x65"},
		want:   map[string]firing{"SlotwiseSubnetOutOfPrefixes": {25, end, "subnet-2 has no free /28 left."}},
	},
	"a subnet has no block left, and nobody uses any": {
		series: map[string]string{
			`slotwise_subnet_room{pod="a",subnet="subnet-2",kind="prefix"}`: "1x9 0x65",
			`slotwise_slots{pod="a",holds="prefix"}`:                        "0x75",
		},
	},
	"a subnet is full": {
		series: map[string]string{
			`slotwise_subnet_room{pod="a",subnet="subnet-2",kind="prefix"}`:       "1x9 0x65",
			`slotwise_subnet_room{pod="a",subnet="subnet-2",kind="secondary-ip"}`: "16x9 0x65",
		},
		want: map[string]firing{
			"SlotwiseSubnetOutOfPrefixes":  {25, end, "subnet-2 has no free /28 left."},
			"SlotwiseSubnetOutOfAddresses": {25, end, "subnet-2 has no free address left."},
		},
	},
	"two pods had one address": {
		series: map[string]string{`slotwise_addresses_duplicated_total{pod="a"}`: "0x9 1x65"},
		want:   map[string]firing{"SlotwiseDuplicateAddress": {10, 23, "Two live pods had one address."}},
	},
	"live pods have lost their address": {
		series: map[string]string{`slotwise_addresses_lost_total{pod="a"}`: "0x9 5x65"},
		want:   map[string]firing{"SlotwiseAddressLost": {10, 23, "Live pods have lost their address."}},
	},
	"another client changes an interface": {
		series: map[string]string{`slotwise_ledger_corrected_total{pod="a"}`: "2x9 3x65"},
		want:   map[string]firing{"SlotwiseLedgerCorrected": {10, 23, "A network interface differed from its ledger."}},
	},
	"EC2 refuses for the first time": {
		series: map[string]string{`slotwise_ec2_calls_total{pod="a",action="AssignPrivateIpAddresses",code="UnauthorizedOperation"}`: "_x10 1x65"},
		want:   map[string]firing{"SlotwiseEC2CallsRefused": {10, 24, "EC2 refuses AssignPrivateIpAddresses: UnauthorizedOperation."}},
	},
	"EC2 goes on refusing": {
		series: map[string]string{`slotwise_ec2_calls_total{pod="a",action="AssignPrivateIpAddresses",code="UnauthorizedOperation"}`: "_x10 1+1x65"},
		want:   map[string]firing{"SlotwiseEC2CallsRefused": {10, end, "EC2 refuses AssignPrivateIpAddresses: UnauthorizedOperation."}},
	},
	"a subnet that has no room is no refusal": {
		series: map[string]string{`slotwise_ec2_calls_total{pod="a",action="AssignPrivateIpAddresses",code="InsufficientCidrBlocks"}`: "_x10 1+1x65"},
	},
	"EC2 throttles": {
		series: map[string]string{`slotwise_ec2_calls_total{pod="a",action="DescribeSubnets",code="RequestLimitExceeded"}`: "0x9 60+60x65"},
		want:   map[string]firing{"SlotwiseEC2Throttled": {26, end, "EC2 throttles DescribeSubnets."}},
	},
	"a certificate is near its end": { // fourteen days after the beginning
		series: map[string]string{`slotwise_certificate_not_after_timestamp_seconds{pod="a",certificate="serving"}`: "1209600x75"},
		want:   map[string]firing{"SlotwiseCertificateNearEnd": {61, end, "The certificate serving ends in 13d 22h 59m 0s."}},
	},
	"what kube-scheduler shows is near its end": {
		series: map[string]string{`slotwise_certificate_not_after_timestamp_seconds{pod="a",certificate="scheduler-shown"}`: "1209600x75"},
		want:   map[string]firing{"SlotwiseCertificateNearEnd": {61, end, "The certificate scheduler-shown ends in 13d 22h 59m 0s."}},
	},
	"what kube-scheduler showed to one that leads no longer": {
		series: map[string]string{`slotwise_certificate_not_after_timestamp_seconds{pod="b",certificate="scheduler-shown"}`: "1209600x75"},
	},
}

// TestAlerts: each alert fires on series that mean trouble, when it should, and on
// no others.
func TestAlerts(t *testing.T) {
	fired := map[string]bool{}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := run(t, c.series)
			for alert := range got {
				fired[alert] = true
			}
			if diff := cmp.Diff(c.want, got); diff != "" && len(c.want)+len(got) > 0 {
				t.Errorf("want (-), fired (+):\n%s", diff)
			}
		})
	}
	for _, r := range alerts(t) {
		if !fired[r.Name()] {
			t.Errorf("%s fired in no case", r.Name())
		}
	}
}

// run has the rules evaluated once a minute, and says what fired.
func run(t *testing.T, changed map[string]string) map[string]firing {
	t.Helper()
	storage := promqltest.LoadedStorage(t, load(changed))
	query := rules.EngineQueryFunc(promql.NewEngine(promql.EngineOpts{
		MaxSamples: 1_000_000, Timeout: time.Minute, Parser: parser.NewParser(parser.Options{}),
	}), storage)
	got := map[string]firing{}
	for _, r := range alerts(t) {
		for minute := range end + 1 {
			now := time.Unix(0, 0).Add(time.Duration(minute) * time.Minute)
			if _, err := r.Eval(t.Context(), 0, now, query, nil, 0); err != nil {
				t.Fatal(err)
			}
			r.ForEachActiveAlert(func(a *rules.Alert) {
				if a.State != rules.StateFiring {
					return
				}
				f, before := got[r.Name()]
				if !before {
					f = firing{From: minute, Summary: a.Annotations.Get("summary")}
				}
				f.To = minute
				got[r.Name()] = f
				readable(t, a)
			})
		}
	}
	return got
}

// load writes the healthy series, with those changed, as Prometheus's tests load them.
func load(changed map[string]string) string {
	lines := []string{}
	for series, values := range healthy {
		if _, other := changed[series]; !other {
			lines = append(lines, series+" "+values)
		}
	}
	for series, values := range changed {
		lines = append(lines, series+" "+values)
	}
	slices.Sort(lines)
	return fmt.Sprintf("load 1m\n  %s\n", strings.Join(lines, "\n  "))
}

// readable: an alert says what is wrong, what to do and where more of that stands, and its
// templates have found what they show.
func readable(t *testing.T, a *rules.Alert) {
	t.Helper()
	for _, name := range []string{"summary", "description", "runbook_url"} {
		text := a.Annotations.Get(name)
		if text == "" || strings.Contains(text, "<error") || strings.Contains(text, "<no value>") {
			t.Errorf("%s: the %s is %q", a.Labels.Get(labels.AlertName), name, text)
		}
	}
	if a.Labels.Get("severity") == "" {
		t.Errorf("%s has no severity", a.Labels.Get(labels.AlertName))
	}
}
