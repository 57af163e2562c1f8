package extender

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	extenderv1 "k8s.io/kube-scheduler/extender/v1"
	"pgregory.net/rapid"

	"slotwise.dev/slotwise/allocator/capacity"
)

func TestPrioritize(t *testing.T) {
	rooms := fakeRooms{
		"fuller": {Free: 1, InUse: 20},
		`em"pty`: {Free: 16},
		"call":   {Obtainable: 16, InUse: 30},
		"full":   {Reason: capacity.Full, InUse: 40},
	}
	tests := map[string]struct {
		asks  string
		names []string
		want  extenderv1.HostPriorityList
	}{
		"each kind": {asks: "1", names: []string{"call", "full", "fuller", `em"pty`, "nobody"}, want: extenderv1.HostPriorityList{
			{Host: "call", Score: 5}, {Host: "full", Score: 0}, {Host: "fuller", Score: 10}, {Host: `em"pty`, Score: 6}, {Host: "nobody", Score: 0},
		}},
		"no names": {asks: "1", names: []string{}, want: extenderv1.HostPriorityList{}},
		"a pod that asks for 0 prefers nobody": {asks: "0", names: []string{"full", "fuller"}, want: extenderv1.HostPriorityList{
			{Host: "full", Score: 5}, {Host: "fuller", Score: 5},
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			options := testOptions(t)
			options.Rooms = rooms
			body := marshal(t, extenderv1.ExtenderArgs{Pod: podAsking(test.asks), NodeNames: &test.names})
			status, got := post[extenderv1.HostPriorityList](t, newHandler(options), VerbPrioritize, body)
			if diff := cmp.Diff(test.want, got); diff != "" || status != 200 {
				t.Errorf("status %d, answer differs (-want +got):\n%s", status, diff)
			}
		})
	}
}

func TestPrioritizeBadInput(t *testing.T) {
	options := testOptions(t)
	options.Rooms = noRooms{t}
	status, result := post[only](t, newHandler(options), VerbPrioritize, `{"Pod":null,"NodeNames":[]}`)
	if status != 400 || result.Error != errNoPod.Error() {
		t.Errorf("status %d, Error %q", status, result.Error)
	}
}

func TestScores(t *testing.T) {
	tests := map[string]struct {
		rooms []capacity.Room
		want  []int64
	}{
		"none":                   {},
		"one free now":           {rooms: []capacity.Room{{Free: 1}}, want: []int64{10}},
		"one needs a call":       {rooms: []capacity.Room{{Obtainable: 1}}, want: []int64{5}},
		"refused, though it has": {rooms: []capacity.Room{{Reason: capacity.Off, Free: 9, InUse: 9}}, want: []int64{0}},
		"from emptiest to fullest": {
			rooms: []capacity.Room{{Free: 1, InUse: 100}, {Free: 1, InUse: 104}, {Free: 1, InUse: 102}, {Free: 1, InUse: 101}},
			want:  []int64{6, 10, 8, 7},
		},
		"the kinds have a scale each": {
			rooms: []capacity.Room{{Free: 1, InUse: 5}, {InUse: 50}, {Free: 1, InUse: 9}, {InUse: 90}, {Reason: capacity.Full, InUse: 900}},
			want:  []int64{6, 1, 10, 5, 0},
		},
		"the largest figures there are": {
			rooms: []capacity.Room{{Free: 1}, {Free: 1, InUse: 1<<31 - 1}},
			want:  []int64{6, 10},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, scores(nil, test.rooms)); diff != "" {
				t.Errorf("scores differ (-want +got):\n%s", diff)
			}
		})
	}
}

// TestScoresKeepOrder: what is better never scores less, and where the kind is
// better it scores more.
func TestScoresKeepOrder(t *testing.T) {
	kind := func(r capacity.Room) int {
		switch {
		case r.Reason != capacity.Fits:
			return 0
		case r.Free == 0:
			return 1
		}
		return 2
	}
	room := rapid.Custom(func(t *rapid.T) capacity.Room {
		return capacity.Room{
			Reason:     rapid.SampledFrom([]capacity.Reason{capacity.Fits, capacity.Fits, capacity.Fits, capacity.Full}).Draw(t, "refusal"),
			Free:       rapid.Int32Range(0, 2).Draw(t, "free"),
			Obtainable: rapid.Int32Range(0, 2).Draw(t, "obtainable"),
			InUse:      rapid.Int32Range(0, 800).Draw(t, "in use"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		rooms := rapid.SliceOf(room).Draw(t, "rooms")
		got := scores(nil, rooms)
		for i, a := range rooms {
			if got[i] < extenderv1.MinExtenderPriority || got[i] > extenderv1.MaxExtenderPriority {
				t.Fatalf("%+v scores %d", a, got[i])
			}
			for j, b := range rooms {
				if kind(a) > kind(b) && got[i] <= got[j] {
					t.Fatalf("%+v scores %d, %+v %d", a, got[i], b, got[j])
				}
				if kind(a) == kind(b) && a.InUse >= b.InUse && got[i] < got[j] {
					t.Fatalf("%+v scores %d, %+v %d", a, got[i], b, got[j])
				}
			}
		}
	})
}
