package manifests

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"slotwise.dev/slotwise/allocator/cloud"
)

// TestIAM: the policies allow what package cloud calls, and nothing else.
func TestIAM(t *testing.T) {
	changes := []cloud.Action{cloud.Assign, cloud.Unassign}
	var all, reads []string
	for action := range cloud.DefaultBuckets() {
		all = append(all, "ec2:"+string(action))
		if !slices.Contains(changes, action) {
			reads = append(reads, "ec2:"+string(action))
		}
	}
	for file, want := range map[string][]string{"iam/manage.json": all, "iam/observe.json": reads} {
		t.Run(file, func(t *testing.T) {
			slices.Sort(want)
			got := allowed(t, file)
			if !slices.Equal(got, want) {
				t.Errorf("allows\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

// allowed returns the actions that a policy allows, sorted.
func allowed(t *testing.T, file string) (actions []string) {
	t.Helper()
	text, err := File(file)
	if err != nil {
		t.Fatal(err)
	}
	var policy struct {
		Statement []struct {
			Effect string
			Action []string
		}
	}
	if err := json.Unmarshal(text, &policy); err != nil {
		t.Fatal(err)
	}
	for _, s := range policy.Statement {
		if s.Effect != "Allow" {
			t.Errorf("effect %s", s.Effect)
		}
		actions = append(actions, s.Action...)
	}
	slices.Sort(actions)
	return actions
}
