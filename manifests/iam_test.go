package manifests

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"slotwise.dev/slotwise/allocator/cloud"
)

// TestIAMInEveryPartition: the policies also hold in China and GovCloud, where ARNs
// begin with another word.
func TestIAMInEveryPartition(t *testing.T) {
	for _, file := range []string{"iam/manage.json", "iam/observe.json"} {
		text, err := File(file)
		if err != nil {
			t.Fatal(err)
		}
		var policy struct{ Statement []struct{ Resource string } }
		if err := json.Unmarshal(text, &policy); err != nil {
			t.Fatal(err)
		}
		for _, s := range policy.Statement {
			if s.Resource != "*" && !strings.HasPrefix(s.Resource, "arn:*:") {
				t.Errorf("%s: the resource %q is of one partition", file, s.Resource)
			}
		}
	}
}

// TestIAM: the policies allow what package cloud calls, and nothing else. That
// all of it is really called is seen in test/privileges.
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
			got, err := AllowedActions(file)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, want) {
				t.Errorf("allows\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}
