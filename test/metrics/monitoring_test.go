package metrics

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"slotwise.dev/slotwise/manifests"
)

// Whether Prometheus understands the expressions is seen in test/monitoring. Here
// it is enough to find what they name.
var (
	namedMetric = regexp.MustCompile(`\bslotwise_\w+`)
	selector    = regexp.MustCompile(`\b(slotwise_\w+)\{([^}]*)\}`)
	matcher     = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)\s*"`)
	grouping    = regexp.MustCompile(`\bby \(([^)]*)\)`)
)

// TestMonitoring: alerts and dashboard ask for metrics and labels that there are,
// and the dashboard leaves no metric out.
func TestMonitoring(t *testing.T) {
	series := map[string][]string{} // labels by the names that Prometheus stores
	for _, m := range catalogue(t) {
		if m.kind != "histogram" {
			series[m.name] = m.labels
			continue
		}
		series[m.name+"_bucket"] = append(slices.Clone(m.labels), "le")
		series[m.name+"_sum"], series[m.name+"_count"] = m.labels, m.labels
	}
	shown := map[string]bool{}
	for where, expression := range expressions(t) {
		names := namedMetric.FindAllString(expression, -1)
		if len(names) == 0 {
			t.Errorf("%s: asks for no metric: %s", where, expression)
		}
		var labels []string
		for _, name := range names {
			if _, there := series[name]; !there {
				t.Errorf("%s: there is no metric %s", where, name)
			}
			labels = append(labels, series[name]...)
			shown[strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_count")] = true
		}
		for _, s := range selector.FindAllStringSubmatch(expression, -1) {
			for _, m := range matcher.FindAllStringSubmatch(s[2], -1) {
				if !slices.Contains(series[s[1]], m[1]) {
					t.Errorf("%s: %s has no label %s", where, s[1], m[1])
				}
			}
		}
		for _, g := range grouping.FindAllStringSubmatch(expression, -1) {
			for label := range strings.SplitSeq(g[1], ",") {
				if !slices.Contains(labels, strings.TrimSpace(label)) {
					t.Errorf("%s: sums up by %s, which no metric in it has", where, label)
				}
			}
		}
	}
	for _, m := range catalogue(t) {
		if !shown[m.name] {
			t.Errorf("%s is neither on the dashboard nor in an alert", m.name)
		}
	}
}

// TestRunbooks: each alert leads to a section of README.md under its name, and none of
// these is about an alert that is no more.
func TestRunbooks(t *testing.T) {
	text, err := manifests.File("monitoring/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, sections, there := strings.Cut(string(text), "\n## Alerts\n")
	if !there {
		t.Fatal("README.md has no section Alerts")
	}
	var headings []string
	for _, h := range heading.FindAllStringSubmatch(sections, -1) {
		headings = append(headings, h[1])
	}
	var names []string
	for _, a := range alerts(t) {
		names = append(names, a.Alert)
		want := "manifests/monitoring/README.md#" + strings.ToLower(a.Alert)
		if got := a.Annotations["runbook_url"]; got != want {
			t.Errorf("%s: runbook_url is %q, want %q", a.Alert, got, want)
		}
	}
	if diff := cmp.Diff(names, headings); diff != "" {
		t.Errorf("README.md has no section for an alert (-), or one without an alert (+):\n%s", diff)
	}
}

var heading = regexp.MustCompile(`(?m)^### (.*)$`)

// alert is as rules.yaml has it.
type alert struct {
	Alert, Expr string
	Annotations map[string]string
}

// alerts are those of rules.yaml, as they stand there.
func alerts(t *testing.T) (all []alert) {
	t.Helper()
	var rules struct {
		Spec struct {
			Groups []struct{ Rules []alert }
		}
	}
	read(t, "monitoring/rules.yaml", &rules)
	for _, g := range rules.Spec.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

// expressions are all that monitoring asks of Prometheus, by where.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	var dashboard struct {
		Panels []struct {
			Type, Title string
			Targets     []struct{ Expr string }
		}
	}
	read(t, "monitoring/dashboard.json", &dashboard)

	all := map[string]string{}
	for _, a := range alerts(t) {
		all["alert "+a.Alert] = a.Expr
	}
	for _, p := range dashboard.Panels {
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %s shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			all["panel "+p.Title+": "+target.Expr] = target.Expr
		}
	}
	return all
}

// read reads a file of YAML, which JSON is, too.
func read(t *testing.T, file string, into any) {
	t.Helper()
	text, err := manifests.File(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}
