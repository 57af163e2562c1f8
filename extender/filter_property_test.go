package extender

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	extenderv1 "k8s.io/kube-scheduler/extender/v1"
	"pgregory.net/rapid"

	"slotwise.dev/slotwise/allocator/capacity"
)

// TestFilterAgreesWithEncodingJSON compares the filter that walks the request
// with one that decodes it into the types of the API.
func TestFilterAgreesWithEncodingJSON(t *testing.T) {
	options := testOptions(t)
	rapid.Check(t, func(rt *rapid.T) {
		names := drawNames(rt)
		rooms := fakeRooms{}
		for _, name := range names {
			if known := rapid.Bool().Draw(rt, "known"); known {
				rooms[name] = capacity.Room{Reason: capacity.Reason(rapid.IntRange(0, int(capacity.Reasons)-1).Draw(rt, "refusal"))}
			}
		}
		body := drawFilterBody(rt, drawPod(rt), names)
		options.Rooms = rooms
		_, got := post[extenderv1.ExtenderFilterResult](t, newHandler(options), VerbFilter, body)
		want := plainFilter(t, rooms, body)
		if (got.Error == "") != (want.Error == "") {
			rt.Fatalf("Error is %q, want %q, for %s", got.Error, want.Error, body)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(got, "Error")); diff != "" {
			rt.Fatalf("answer differs (-want +got):\n%s\nfor %s", diff, body)
		}
	})
}

// plainFilter is filter as one would write it were there no hurry.
func plainFilter(t *testing.T, rooms fakeRooms, body string) extenderv1.ExtenderFilterResult {
	var args extenderv1.ExtenderArgs
	if err := json.Unmarshal([]byte(body), &args); err != nil {
		t.Fatalf("the test made bad JSON: %v: %s", err, body)
	}
	if args.Pod == nil || args.Pod.UID == "" || args.Nodes != nil || args.NodeNames == nil {
		return extenderv1.ExtenderFilterResult{Error: "incomplete"}
	}
	demand := demandOf(args.Pod)
	if demand > 1 {
		return extenderv1.ExtenderFilterResult{Error: "more than one"}
	}
	result := extenderv1.ExtenderFilterResult{
		NodeNames:                  &[]string{},
		FailedAndUnresolvableNodes: extenderv1.FailedNodesMap{},
	}
	for _, name := range *args.NodeNames {
		if room := rooms.lookup([]byte(name)); demand == 1 && room.Reason != capacity.Fits {
			result.FailedAndUnresolvableNodes[name] = room.Reason.Text()
		} else {
			*result.NodeNames = append(*result.NodeNames, name)
		}
	}
	return result
}

func demandOf(pod *corev1.Pod) int64 {
	if pod.Spec.HostNetwork {
		return 0
	}
	var demand int64
	for _, container := range pod.Spec.Containers {
		demand += container.Resources.Requests.Name(addressResource, resource.DecimalSI).Value()
	}
	for _, container := range pod.Spec.InitContainers {
		demand = max(demand, container.Resources.Requests.Name(addressResource, resource.DecimalSI).Value())
	}
	return demand
}

// drawNames makes different names, such as nodes have and such as JSON has to escape.
func drawNames(t *rapid.T) []string {
	return rapid.SliceOfNDistinct(rapid.OneOf(
		rapid.StringMatching(`ip-10-0-[0-9]{1,3}-[0-9]{1,3}\.eu-central-1\.compute\.internal`),
		rapid.StringN(0, 10, -1),
		rapid.StringOf(rapid.SampledFrom([]rune{'"', '\\', '/', '<', '&', '\n', 0, 0x7f, 0x2028, 'ö', '漢', '😀'})),
	), 0, 30, rapid.ID[string]).Draw(t, "names")
}

func drawPod(t *rapid.T) *corev1.Pod {
	quantities := rapid.SliceOfN(rapid.SampledFrom([]string{"0", "0", "1", "2", "3k"}), 0, 3)
	pod := podAsking(quantities.Draw(t, "containers")...)
	pod.UID = types.UID(rapid.SampledFrom([]string{"", "1", "2", "3", "4", "5"}).Draw(t, "uid"))
	pod.Spec.HostNetwork = rapid.IntRange(0, 5).Draw(t, "host network") == 0
	for _, quantity := range rapid.SliceOfN(rapid.SampledFrom([]string{"0", "0", "1", "2"}), 0, 2).Draw(t, "init containers") {
		pod.Spec.InitContainers = append(pod.Spec.InitContainers, containerAsking(quantity))
	}
	pod.Annotations = rapid.MapOfN(rapid.String(), rapid.String(), 0, 3).Draw(t, "annotations")
	return pod
}

// drawFilterBody writes an ExtenderArgs with its members in any order, some of
// them null or left out, more that are not known, and names in any of the ways
// that JSON has for a string.
func drawFilterBody(t *rapid.T, pod *corev1.Pod, names []string) string {
	var quoted []string
	for _, name := range names {
		quoted = append(quoted, drawQuoted(t, name))
	}
	list := "[" + strings.Join(quoted, " ,\n") + "]"
	members := []string{
		`"Pod":` + rapid.SampledFrom([]string{marshal(t, pod), marshal(t, pod), marshal(t, pod), "null"}).Draw(t, "pod"),
		`"NodeNames":` + rapid.SampledFrom([]string{list, list, list, "null"}).Draw(t, "list"),
		`"Nodes":` + rapid.SampledFrom([]string{"null", "null", "null", `{"items":[]}`}).Draw(t, "nodes"),
		`"Unknown": {"Pod":null,"NodeNames":["none"],"a":[1,{"b":"]}"}]}`,
		`"1": -1.5e3`,
	}
	members = rapid.Permutation(members).Draw(t, "members")
	members = members[:len(members)-rapid.IntRange(0, 1).Draw(t, "left out")]
	return " {" + strings.Join(members, "\t,") + "}\n"
}

func drawQuoted(t *rapid.T, text string) string {
	if short := rapid.Bool().Draw(t, "short"); short {
		return marshal(t, text)
	}
	var all strings.Builder
	for _, unit := range utf16.Encode([]rune(text)) {
		fmt.Fprintf(&all, `\u%04x`, unit)
	}
	return `"` + all.String() + `"`
}
