package manifests

import (
	"slices"
	"strings"
	"testing"

	"slotwise.dev/slotwise/allocator/cloud"
)

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
