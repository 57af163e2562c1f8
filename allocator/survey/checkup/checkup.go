// Package checkup looks for what keeps Windows pods from their addresses, before Slotwise
// is installed and after: one finding a line, each that is bad with its fix. It changes
// nothing.
package checkup

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/survey"
)

// State is what is to be thought of a finding.
type State string

// The states.
const (
	Good    State = "ok"
	Note    State = "note" // pods get their addresses, and something could be better
	Bad     State = "bad"
	Unknown State = "unknown" // it could not be looked at
)

// Finding is what a check has found.
type Finding struct {
	Check string `json:"check"`
	State State  `json:"state"`
	Text  string `json:"text"`
	Fix   string `json:"fix,omitempty"` // what to do, where it is not good
}

// Inputs are what is looked at.
type Inputs struct {
	Kube      client.Client // only reads, and reviews of what its user may do
	Version   string        // of the API server, such as v1.37.2
	Cluster   *survey.Cluster
	ConfigMap types.NamespacedName
	Namespace string // of Slotwise
	Now       time.Time
}

// check is one of them. It answers with what is found, and with an error where it cannot
// look.
type check struct {
	name string
	look func(context.Context, Inputs) (Finding, error)
}

// Before are the findings that matter before Slotwise is installed.
func Before(ctx context.Context, in Inputs) []Finding {
	return run(ctx, in, append([]check{{"permissions", permissions}}, ofCluster...))
}

// After are those of a cluster with Slotwise in it. Where it is not, that is the last.
func After(ctx context.Context, in Inputs) []Finding {
	findings := run(ctx, in, append(append([]check{}, ofCluster...), check{"Deployment", replicas}))
	if findings[len(findings)-1].Text == notInstalled {
		return findings
	}
	return append(findings, run(ctx, in, ofSlotwise)...)
}

func run(ctx context.Context, in Inputs, checks []check) []Finding {
	findings := make([]Finding, 0, len(checks))
	for _, c := range checks {
		f, err := c.look(ctx, in)
		if err != nil {
			f = unknown(err)
		}
		f.Check = c.name
		findings = append(findings, f)
	}
	return findings
}

func good(text string, args ...any) (Finding, error) {
	return Finding{State: Good, Text: fmt.Sprintf(text, args...)}, nil
}

func bad(fix, text string, args ...any) (Finding, error) {
	return Finding{State: Bad, Text: fmt.Sprintf(text, args...), Fix: fix}, nil
}

func note(fix, text string, args ...any) (Finding, error) {
	return Finding{State: Note, Text: fmt.Sprintf(text, args...), Fix: fix}, nil
}

// unknown is what could not be looked at.
func unknown(err error) Finding {
	f := Finding{State: Unknown, Text: err.Error(), Fix: "see that the API server answers, and try again"}
	if apierrors.IsForbidden(err) {
		f.Fix = "ask somebody who may read it"
	}
	return f
}

// AnyBad says that something has to be done.
func AnyBad(findings []Finding) bool {
	for _, f := range findings {
		if f.State == Bad {
			return true
		}
	}
	return false
}
