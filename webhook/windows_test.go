package webhook

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"pgregory.net/rapid"

	"slotwise.dev/slotwise/allocator/vpc"
)

func in(key string, values ...string) corev1.NodeSelectorRequirement {
	return corev1.NodeSelectorRequirement{Key: key, Operator: corev1.NodeSelectorOpIn, Values: values}
}

func notIn(key string, values ...string) corev1.NodeSelectorRequirement {
	return corev1.NodeSelectorRequirement{Key: key, Operator: corev1.NodeSelectorOpNotIn, Values: values}
}

func term(requirements ...corev1.NodeSelectorRequirement) corev1.NodeSelectorTerm {
	return corev1.NodeSelectorTerm{MatchExpressions: requirements}
}

// requiring returns a pod spec whose required node affinity has these terms.
func requiring(terms ...corev1.NodeSelectorTerm) corev1.PodSpec {
	return corev1.PodSpec{Affinity: &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: terms},
	}}}
}

// verdict is what a pod spec is said to be.
type verdict struct {
	spec corev1.PodSpec
	want bool
}

// windowsCases returns pod specs, and whether each says that it is a Windows pod's.
func windowsCases() map[string]verdict {
	const os, beta, zone = vpc.LabelOS, vpc.LabelOSBeta, corev1.LabelTopologyZone
	named := corev1.NodeSelectorTerm{MatchFields: []corev1.NodeSelectorRequirement{in("metadata.name", "win-1")}}

	return map[string]verdict{
		"says nothing":                 {want: false},
		"spec.os windows":              {spec: corev1.PodSpec{OS: &corev1.PodOS{Name: corev1.Windows}}, want: true},
		"spec.os linux":                {spec: corev1.PodSpec{OS: &corev1.PodOS{Name: corev1.Linux}}, want: false},
		"node selector windows":        {spec: corev1.PodSpec{NodeSelector: map[string]string{os: "windows"}}, want: true},
		"node selector windows, beta":  {spec: corev1.PodSpec{NodeSelector: map[string]string{beta: "windows"}}, want: true},
		"node selector linux":          {spec: corev1.PodSpec{NodeSelector: map[string]string{os: "linux"}}, want: false},
		"node selector in capitals":    {spec: corev1.PodSpec{NodeSelector: map[string]string{os: "Windows"}}, want: false},
		"node selector of another key": {spec: corev1.PodSpec{NodeSelector: map[string]string{"os": "windows"}}, want: false},

		"affinity without node affinity": {spec: corev1.PodSpec{Affinity: &corev1.Affinity{}}, want: false},
		"node affinity preferred only": {spec: corev1.PodSpec{Affinity: &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
			PreferredDuringSchedulingIgnoredDuringExecution: []corev1.PreferredSchedulingTerm{{Weight: 100, Preference: term(in(os, "windows"))}},
		}}}, want: false},
		"no terms":                        {spec: requiring(), want: false},
		"an empty term":                   {spec: requiring(term()), want: false},
		"In windows":                      {spec: requiring(term(in(os, "windows"))), want: true},
		"In windows, beta":                {spec: requiring(term(in(beta, "windows"))), want: true},
		"In windows said twice":           {spec: requiring(term(in(os, "windows", "windows"))), want: true},
		"In windows or linux":             {spec: requiring(term(in(os, "windows", "linux"))), want: false},
		"In linux":                        {spec: requiring(term(in(os, "linux"))), want: false},
		"In windows of another key":       {spec: requiring(term(in("os", "windows"))), want: false},
		"NotIn linux":                     {spec: requiring(term(notIn(os, "linux"))), want: false},
		"NotIn windows":                   {spec: requiring(term(notIn(os, "windows"))), want: false},
		"Exists":                          {spec: requiring(term(corev1.NodeSelectorRequirement{Key: os, Operator: corev1.NodeSelectorOpExists})), want: false},
		"windows and a zone":              {spec: requiring(term(in(zone, "a"), in(os, "windows"))), want: true},
		"two In that share windows":       {spec: requiring(term(in(os, "windows", "linux"), in(os, "darwin", "windows"))), want: true},
		"In windows or linux, no linux":   {spec: requiring(term(in(os, "windows", "linux"), notIn(os, "linux"))), want: true},
		"no linux, In windows or linux":   {spec: requiring(term(notIn(os, "linux"), in(os, "windows", "linux"))), want: true},
		"both labels loosely":             {spec: requiring(term(in(os, "windows", "linux"), in(beta, "windows", "linux"))), want: false},
		"one label loosely, one strictly": {spec: requiring(term(in(os, "windows", "linux"), in(beta, "windows"))), want: true},
		"a contradiction":                 {spec: requiring(term(in(os, "windows"), in(os, "linux"))), want: false},
		"In nothing":                      {spec: requiring(term(in(os))), want: false},

		"every term windows":               {spec: requiring(term(in(os, "windows"), in(zone, "a")), term(in(beta, "windows"))), want: true},
		"one term windows, one linux":      {spec: requiring(term(in(os, "windows")), term(in(os, "linux"))), want: false},
		"one term windows, one open":       {spec: requiring(term(in(os, "windows")), term(in(zone, "a"))), want: false},
		"one term windows, one impossible": {spec: requiring(term(), term(in(os, "windows")), term(in(os, "linux"), in(os, "windows"))), want: true},
		"a node by name":                   {spec: requiring(named), want: false},
		"one term windows, one by name":    {spec: requiring(term(in(os, "windows")), named), want: false},
		"windows and a node by name":       {spec: requiring(corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{in(os, "windows")}, MatchFields: named.MatchFields}), want: true},
	}
}

func TestIsWindows(t *testing.T) {
	for name, tc := range windowsCases() {
		t.Run(name, func(t *testing.T) {
			if got := IsWindows(&corev1.Pod{Spec: tc.spec}); got != tc.want {
				t.Errorf("IsWindows = %t, want %t", got, tc.want)
			}
		})
	}
}

// TestAffinityAgainstEveryNode asks Kubernetes' own label selectors which nodes
// the terms match, among all nodes that there could be, and compares: the pod
// is a Windows pod exactly if some node matches and each that does is Windows.
func TestAffinityAgainstEveryNode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		terms := rapid.SliceOfN(genTerm, 0, 4).Draw(t, "terms")
		some, others := false, false
		for _, node := range everyNode() {
			if !matchesAny(t, terms, node) {
				continue
			}
			some = true
			others = others || (node[vpc.LabelOS] != vpc.Windows && node[vpc.LabelOSBeta] != vpc.Windows)
		}
		spec := requiring(terms...)
		if got, want := affinityAdmitsOnlyWindows(spec.Affinity), some && !others; got != want {
			t.Errorf("affinityAdmitsOnlyWindows = %t, want %t", got, want)
		}
	})
}

var genTerm = rapid.Custom(func(t *rapid.T) corev1.NodeSelectorTerm {
	return term(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) corev1.NodeSelectorRequirement {
		key := rapid.SampledFrom([]string{vpc.LabelOS, vpc.LabelOSBeta, corev1.LabelTopologyZone}).Draw(t, "key")
		if key == corev1.LabelTopologyZone {
			return in(key, "a")
		}
		values := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"windows", "linux", "darwin"}), 1, 3, rapid.ID).Draw(t, "values")
		if rapid.Bool().Draw(t, "not") {
			return notIn(key, values...)
		}
		return in(key, values...)
	}), 0, 4).Draw(t, "requirements")...)
})

// everyNode returns the labels of nodes in zone a with each value of the two OS
// labels that a requirement of genTerm names, one that none names, and no value.
func everyNode() []labels.Set {
	nodes := []labels.Set{{corev1.LabelTopologyZone: "a"}}
	for _, key := range osLabels {
		for _, node := range nodes {
			for _, value := range []string{"windows", "linux", "darwin", "plan9"} {
				nodes = append(nodes, labels.Merge(node, labels.Set{key: value}))
			}
		}
	}
	return nodes
}

func matchesAny(t *rapid.T, terms []corev1.NodeSelectorTerm, node labels.Set) bool {
	for _, term := range terms {
		matches := len(term.MatchExpressions) > 0
		for _, e := range term.MatchExpressions {
			operator := selection.In
			if e.Operator == corev1.NodeSelectorOpNotIn {
				operator = selection.NotIn
			}
			r, err := labels.NewRequirement(e.Key, operator, e.Values)
			if err != nil {
				t.Fatal(err)
			}
			matches = matches && r.Matches(node)
		}
		if matches {
			return true
		}
	}
	return false
}

// needyCases returns Windows pods' specs, and whether each needs an address.
func needyCases() map[string]verdict {
	windows := func(change func(*corev1.PodSpec)) corev1.PodSpec {
		spec := corev1.PodSpec{OS: &corev1.PodOS{Name: corev1.Windows}}
		change(&spec)
		return spec
	}
	hostProcess := func(v bool) *corev1.PodSecurityContext {
		return &corev1.PodSecurityContext{WindowsOptions: &corev1.WindowsSecurityContextOptions{HostProcess: &v}}
	}
	return map[string]verdict{
		"Windows":            {spec: windows(func(*corev1.PodSpec) {}), want: true},
		"Linux":              {spec: corev1.PodSpec{OS: &corev1.PodOS{Name: corev1.Linux}}, want: false},
		"the host's network": {spec: windows(func(s *corev1.PodSpec) { s.HostNetwork = true }), want: false},
		"HostProcess":        {spec: windows(func(s *corev1.PodSpec) { s.SecurityContext = hostProcess(true) }), want: false},
		"not HostProcess":    {spec: windows(func(s *corev1.PodSpec) { s.SecurityContext = hostProcess(false) }), want: true},
		"other Windows options": {spec: windows(func(s *corev1.PodSpec) {
			s.SecurityContext = &corev1.PodSecurityContext{WindowsOptions: &corev1.WindowsSecurityContextOptions{}}
		}), want: true},
	}
}

func TestNeedsAddress(t *testing.T) {
	for name, tc := range needyCases() {
		t.Run(name, func(t *testing.T) {
			if got := NeedsAddress(&corev1.Pod{Spec: tc.spec}); got != tc.want {
				t.Errorf("NeedsAddress = %t, want %t", got, tc.want)
			}
		})
	}
}
