package manifests

import (
	"slices"
	"testing"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// TestPriority: of each ServiceAccount that a Deployment runs as, the election is of the
// level leader-election, and all else of workload-high; the API server tries the
// schemas in this order, before its own for ServiceAccounts.
func TestPriority(t *testing.T) {
	const serviceAccounts = 9000 // precedence of the API server's own schema
	for overlay, accounts := range map[string][]string{
		"self-managed": {"slotwise"},
		"eks":          {"slotwise", "slotwise-scheduler"},
		"observe":      {"slotwise", "slotwise-scheduler"},
	} {
		schemas := flowSchemas(t, "overlays/"+overlay)
		for _, account := range accounts {
			var levels []string
			for _, s := range schemas {
				if s.Spec.MatchingPrecedence < serviceAccounts && s.Spec.Rules[0].Subjects[0].ServiceAccount.Name == account {
					levels = append(levels, s.Spec.PriorityLevelConfiguration.Name)
				}
			}
			last := schemas[len(schemas)-1].Spec.Rules[0].ResourceRules[0]
			if len(levels) < 2 || levels[0] != "leader-election" || levels[len(levels)-1] != "workload-high" || !last.ClusterScope {
				t.Errorf("%s: the levels of %s are %v, and the last rule is %v", overlay, account, levels, last)
			}
		}
	}
}

// flowSchemas returns the schemas of a kustomization, in the order in which the API
// server tries them.
func flowSchemas(t *testing.T, kustomization string) (schemas []flowcontrolv1.FlowSchema) {
	t.Helper()
	objects, err := Build(kustomization)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		if o.GetKind() != "FlowSchema" {
			continue
		}
		var s flowcontrolv1.FlowSchema
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &s); err != nil {
			t.Fatal(err)
		}
		schemas = append(schemas, s)
	}
	slices.SortFunc(schemas, func(a, b flowcontrolv1.FlowSchema) int {
		return int(a.Spec.MatchingPrecedence - b.Spec.MatchingPrecedence)
	})
	return schemas
}
