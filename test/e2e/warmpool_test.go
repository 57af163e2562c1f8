package e2e

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/testenv"
)

// Warm pools are looked at in EC2, on nodes with different numbers of pods. The
// rows are those of AWS's documentation and of its controller; Slotwise goes
// from one to the next while it runs.

// warming is a row: settings, and how many blocks of the mode's kind nodes are
// to have with them, by their number of pods.
type warming struct {
	targets map[string]string
	want    map[int]int
}

func (e *env) testWarmSecondaryIPs(t *testing.T) {
	e.testWarmPools(t, "c5.4xlarge", nil, map[string]warming{
		"defaults": {
			want: map[int]int{0: 3, 5: 8},
		},
		"warm IPs, no minimum": {
			targets: map[string]string{"warm-ip-target": "1", "minimum-ip-target": "0"},
			want:    map[int]int{0: 1, 5: 6},
		},
		"a minimum above the warm IPs": {
			targets: map[string]string{"windows-warm-ip-target": "1", "windows-minimum-ip-target": "3"},
			want:    map[int]int{0: 3, 5: 6},
		},
		"a larger minimum": {
			targets: map[string]string{"warm-ip-target": "5", "minimum-ip-target": "10"},
			want:    map[int]int{0: 10, 5: 10},
		},
		"many warm IPs": {
			targets: map[string]string{"warm-ip-target": " 10", "minimum-ip-target": "10 "},
			want:    map[int]int{0: 10, 5: 15},
		},
		"warm prefixes mean nothing": {
			targets: map[string]string{"warm-prefix-target": "2", "warm-ip-target": "4"},
			want:    map[int]int{0: 4, 5: 9},
		},
		"more than the slots": {
			targets: map[string]string{"warm-ip-target": "30"},
			want:    map[int]int{0: 29, 5: 29},
		},
	})
}

func (e *env) testWarmPrefixes(t *testing.T) {
	e.testWarmPools(t, "t3.medium", prefixMode, map[string]warming{
		"defaults": {
			want: map[int]int{0: 1, 12: 1, 26: 2},
		},
		"a warm prefix": {
			targets: map[string]string{"warm-prefix-target": "1"},
			want:    map[int]int{0: 1, 12: 2, 26: 3},
		},
		"warm IPs": {
			targets: map[string]string{"windows-warm-ip-target": "5"},
			want:    map[int]int{0: 1, 12: 2, 26: 2},
		},
		"warm IPs and a minimum": {
			targets: map[string]string{"warm-ip-target": "7", "minimum-ip-target": "20"},
			want:    map[int]int{0: 2, 12: 2, 26: 3},
		},
		"warm IPs override warm prefixes": {
			targets: map[string]string{"warm-prefix-target": "3", "warm-ip-target": "1", "minimum-ip-target": "33"},
			want:    map[int]int{0: 3, 12: 3, 26: 3},
		},
		"more than the slots": {
			targets: map[string]string{"warm-prefix-target": "9"},
			want:    map[int]int{0: 5, 12: 5, 26: 5},
		},
	})
}

// testWarmPools goes through rows, all of which have the same numbers of pods.
// mode are the settings that they share.
func (e *env) testWarmPools(t *testing.T, instanceType string, mode map[string]string, rows map[string]warming) {
	e.configure(t, mode)
	namespace := e.namespace(t)
	name := func(pods int) string { return fmt.Sprint(namespace, "-", pods) }
	running := 0
	for pods := range rows["defaults"].want {
		check.Must(t, check.ErrorOf(e.AddNode(t.Context(), name(pods), instanceType, testenv.Subnet)))
		check.Must(t, e.CreatePods(t.Context(), namespace, fmt.Sprint("of-", pods), pods, testenv.OnNode(name(pods))))
		running += pods
	}
	check.Must(t, e.AwaitRunning(t.Context(), namespace, running))

	for row, test := range rows {
		ok := t.Run(row, func(t *testing.T) {
			e.configure(t, mode, test.targets)
			for _, pods := range slices.Sorted(maps.Keys(test.want)) {
				prefixes, secondaryIPs := 0, test.want[pods]
				if len(mode) > 0 {
					prefixes, secondaryIPs = secondaryIPs, prefixes
				}
				e.awaitBlocks(t, name(pods), prefixes, secondaryIPs)
			}
		})
		if !ok {
			return // others may have to wait as long for what does not come
		}
	}
}
