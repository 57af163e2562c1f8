package extender

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	extenderv1 "k8s.io/kube-scheduler/extender/v1"

	"slotwise.dev/slotwise/allocator/capacity"
)

func TestPreempt(t *testing.T) {
	// On "good" an address comes free once both victims have ended, on "bad" never.
	evictions := fakeEvictions(func(node string, victims []types.UID) bool {
		return node == "good" && slices.Equal(victims, []types.UID{"v1", "v2"})
	})
	tests := map[string]struct {
		asks       string
		candidates map[string][]string // victims by node
		want       []string
	}{
		"kept where an address comes": {asks: "1", candidates: map[string][]string{"good": {"v1", "v2"}, "bad": {"v3"}}, want: []string{"good"}},
		"too few victims":             {asks: "1", candidates: map[string][]string{"good": {"v1"}}},
		"no victims":                  {asks: "1", candidates: map[string][]string{"good": {}}},
		"no candidates":               {asks: "1", candidates: map[string][]string{}},
		"a pod that asks for 0":       {asks: "0", candidates: map[string][]string{"bad": {"v3"}, "good": {}}, want: []string{"bad"}},
	}
	for name, test := range tests {
		args := extenderv1.ExtenderPreemptionArgs{
			Pod:                   podAsking(test.asks),
			NodeNameToMetaVictims: map[string]*extenderv1.MetaVictims{},
		}
		argsWithPods := extenderv1.ExtenderPreemptionArgs{Pod: args.Pod, NodeNameToVictims: map[string]*extenderv1.Victims{}}
		want := extenderv1.ExtenderPreemptionResult{NodeNameToMetaVictims: map[string]*extenderv1.MetaVictims{}}
		for node, uids := range test.candidates {
			meta, whole := &extenderv1.MetaVictims{NumPDBViolations: 3}, &extenderv1.Victims{NumPDBViolations: 3}
			for _, uid := range uids {
				meta.Pods = append(meta.Pods, &extenderv1.MetaPod{UID: uid})
				whole.Pods = append(whole.Pods, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: types.UID(uid)}})
			}
			args.NodeNameToMetaVictims[node], argsWithPods.NodeNameToVictims[node] = meta, whole
			if slices.Contains(test.want, node) {
				want.NodeNameToMetaVictims[node] = meta
			}
		}
		for form, body := range map[string]string{"UIDs": marshal(t, args), "whole pods": marshal(t, argsWithPods)} {
			t.Run(name+"/"+form, func(t *testing.T) {
				options := testOptions(t)
				options.Evictions = evictions
				status, got := post[extenderv1.ExtenderPreemptionResult](t, newHandler(options), VerbPreempt, body)
				if diff := cmp.Diff(want, got); diff != "" || status != 200 {
					t.Errorf("status %d, answer differs (-want +got):\n%s", status, diff)
				}
			})
		}
	}
}

func TestPreemptBadInput(t *testing.T) {
	pod := marshal(t, podAsking("1"))
	tests := map[string]struct{ body, want string }{
		"no JSON":              {`preempt!`, "invalid character"},
		"no pod":               {`{"NodeNameToMetaVictims":{}}`, "no Pod"},
		"asks for 2":           {`{"Pod":` + marshal(t, podAsking("2")) + `,"NodeNameToMetaVictims":{}}`, "exactly one"},
		"no candidates":        {`{"Pod":` + pod + `,"NodeNameToVictims":null,"NodeNameToMetaVictims":null}`, "neither"},
		"a node twice":         {`{"Pod":` + pod + `,"NodeNameToMetaVictims":{"good":{},"good":{}}}`, "duplicate"},
		"a victim is null":     {`{"Pod":` + pod + `,"NodeNameToMetaVictims":{"good":{"Pods":[null]}}}`, "no UID"},
		"a victim has no UID":  {`{"Pod":` + pod + `,"NodeNameToVictims":{"good":{"Pods":[{}]}}}`, "no UID"},
		"victims are a number": {`{"Pod":` + pod + `,"NodeNameToMetaVictims":{"good":7}}`, "good"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			status, result := post[only](t, newHandler(testOptions(t)), VerbPreempt, test.body)
			if status != 400 || !strings.Contains(result.Error, test.want) {
				t.Errorf("status %d, Error %q, want something with %q", status, result.Error, test.want)
			}
		})
	}
}

// The allocator is told whose the evictions are, and what they cost.
func TestPreemptAsksForThePod(t *testing.T) {
	options := testOptions(t)
	asked := askedEvictions{}
	options.Evictions = &asked
	pod := podAsking("1")
	pod.Spec.Priority = new(int32(7))
	body := `{"Pod":` + marshal(t, pod) + `,"NodeNameToMetaVictims":{"a":{"Pods":[{"UID":"v"}],"NumPDBViolations":2}}}`
	_, result := post[extenderv1.ExtenderPreemptionResult](t, newHandler(options), VerbPreempt, body)
	if len(result.NodeNameToMetaVictims) > 0 {
		t.Errorf("kept %v though the allocator chose none", result.NodeNameToMetaVictims)
	}
	want := askedEvictions{capacity.Pod{Key: types.NamespacedName{Namespace: "shop", Name: "web"}, UID: "uid-of-web", Priority: 7}, []capacity.Candidate{{Node: "a", Victims: []types.UID{"v"}, Violations: 2}}}
	if diff := cmp.Diff(want, asked, cmp.AllowUnexported(askedEvictions{})); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

// askedEvictions remembers what it was asked, and chooses none.
type askedEvictions struct {
	pod        capacity.Pod
	candidates []capacity.Candidate
}

func (f *askedEvictions) Choose(_ context.Context, pod capacity.Pod, candidates []capacity.Candidate) (capacity.Candidate, bool) {
	*f = askedEvictions{pod, candidates}
	return capacity.Candidate{}, false
}

// Of the victims those go that the allocator has chosen.
func TestPreemptSparesVictims(t *testing.T) {
	options := testOptions(t)
	options.Evictions = sparing{}
	body := `{"Pod":` + marshal(t, podAsking("1")) + `,"NodeNameToMetaVictims":{"a":{"Pods":[{"UID":"v"},{"UID":"w"}],"NumPDBViolations":2}}}`
	_, got := post[extenderv1.ExtenderPreemptionResult](t, newHandler(options), VerbPreempt, body)
	want := map[string]*extenderv1.MetaVictims{"a": {Pods: []*extenderv1.MetaPod{{UID: "w"}}, NumPDBViolations: 2}}
	if diff := cmp.Diff(want, got.NodeNameToMetaVictims); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
}

// sparing chooses the first candidate, and the last of its victims.
type sparing struct{}

func (sparing) Choose(_ context.Context, _ capacity.Pod, candidates []capacity.Candidate) (capacity.Candidate, bool) {
	c := candidates[0]
	c.Victims = c.Victims[len(c.Victims)-1:]
	return c, true
}

// TestPreemptNullVictims: what is null stands for no victims, which bring nothing.
func TestPreemptNullVictims(t *testing.T) {
	options := testOptions(t)
	options.Evictions = fakeEvictions(func(string, []types.UID) bool { return true })
	body := `{"Pod":` + marshal(t, podAsking("1")) + `,"NodeNameToMetaVictims":{"a":null,"b":{"Pods":null},"c":{"Pods":[{"UID":"v"}]}}}`
	_, result := post[extenderv1.ExtenderPreemptionResult](t, newHandler(options), VerbPreempt, body)
	if got := slices.Collect(maps.Keys(result.NodeNameToMetaVictims)); !slices.Equal(got, []string{"c"}) {
		t.Errorf("kept %v", got)
	}
}
