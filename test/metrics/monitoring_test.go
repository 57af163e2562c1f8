package metrics

import (
	"regexp"
	"slices"
	"strings"
	"testing"

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

// expressions are all that monitoring asks of Prometheus, by where.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	var rules struct {
		Spec struct {
			Groups []struct {
				Rules []struct{ Alert, Expr string }
			}
		}
	}
	read(t, "monitoring/rules.yaml", &rules)
	var dashboard struct {
		Panels []struct {
			Type, Title string
			Targets     []struct{ Expr string }
		}
	}
	read(t, "monitoring/dashboard.json", &dashboard)

	all := map[string]string{}
	for _, g := range rules.Spec.Groups {
		for _, r := range g.Rules {
			all["alert "+r.Alert] = r.Expr
		}
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
