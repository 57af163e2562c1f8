package monitoring

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
	"go.yaml.in/yaml/v3"
)

// manifests is where the files are that are looked into.
const manifests = "../../manifests/monitoring/"

// alerts reads the rules as Prometheus does: what the PrometheusRule's spec holds is
// a rule file. All of them are alerts.
func alerts(t *testing.T) (all []*rules.AlertingRule) {
	t.Helper()
	text, err := os.ReadFile(manifests + "rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var object struct{ Spec yaml.Node }
	if err := yaml.Unmarshal(text, &object); err != nil {
		t.Fatal(err)
	}
	if text, err = yaml.Marshal(&object.Spec); err != nil {
		t.Fatal(err)
	}
	p := parser.NewParser(parser.Options{})
	file, errs := rulefmt.Parse(text, false, model.LegacyValidation, p, promslog.NewNopLogger())
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			expression, err := p.ParseExpr(r.Expr)
			if err != nil {
				t.Fatalf("%s: %v", r.Alert, err)
			}
			all = append(all, rules.NewAlertingRule(r.Alert, expression, time.Duration(r.For), time.Duration(r.KeepFiringFor),
				labels.FromMap(r.Labels), labels.FromMap(r.Annotations), labels.EmptyLabels(), "", true, promslog.NewNopLogger()))
		}
	}
	return all
}

// TestDashboard: Prometheus understands the query of each panel, with Grafana's
// variables filled in.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile(manifests + "dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	p, queries := parser.NewParser(parser.Options{}), 0
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			queries++
			if _, err := p.ParseExpr(strings.ReplaceAll(target.Expr, "$__rate_interval", "5m")); err != nil {
				t.Errorf("%s: %v", panel.Title, err)
			}
		}
	}
	if queries == 0 {
		t.Error("the dashboard asks for nothing")
	}
}
