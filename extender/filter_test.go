package extender

import (
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	extenderv1 "k8s.io/kube-scheduler/extender/v1"

	"slotwise.dev/slotwise/allocator/capacity"
)

func TestFilter(t *testing.T) {
	rooms := fakeRooms{
		"roomy":    {Free: 3, InUse: 10},
		"callable": {Obtainable: 16},
		"full":     {Reason: capacity.Full, InUse: 14},
		"dry":      {Reason: capacity.NoRoomInSubnet},
		"new":      {Reason: capacity.NotReady},
		"off":      {Reason: capacity.Off},
		`"\<ö>`:    {Free: 1},
		`\"&`:      {Reason: capacity.Full},
	}
	asksOne := podAsking("0", "1")
	hostNetwork := podAsking("1")
	hostNetwork.Spec.HostNetwork = true
	inInit := podAsking("0")
	inInit.Spec.InitContainers = []corev1.Container{containerAsking("1")}
	inBoth := podAsking("1")
	inBoth.Spec.InitContainers = []corev1.Container{containerAsking("1"), containerAsking("1")}
	tooManyInInit := podAsking("1")
	tooManyInInit.Spec.InitContainers = []corev1.Container{containerAsking("2")}

	tests := map[string]struct {
		pod        *corev1.Pod
		names      []string
		wantPassed []string
		wantFailed extenderv1.FailedNodesMap
		wantError  string
	}{
		"an address is free, or a call can bring one": {
			pod: asksOne, names: []string{"callable", "roomy"}, wantPassed: []string{"callable", "roomy"},
		},
		"every reason has its text": {
			pod: asksOne, names: []string{"full", "dry", "roomy", "nobody", "new", "off"},
			wantPassed: []string{"roomy"},
			wantFailed: extenderv1.FailedNodesMap{
				"full": capacity.Full.Text(), "dry": capacity.NoRoomInSubnet.Text(),
				"nobody": capacity.Unknown.Text(), "new": capacity.NotReady.Text(), "off": capacity.Off.Text(),
			},
		},
		"names that need escapes": {
			pod: asksOne, names: []string{`\"&`, `"\<ö>`},
			wantPassed: []string{`"\<ö>`}, wantFailed: extenderv1.FailedNodesMap{`\"&`: capacity.Full.Text()},
		},
		"no names":                  {pod: asksOne, names: []string{}, wantPassed: []string{}},
		"only refused":              {pod: asksOne, names: []string{"full"}, wantPassed: []string{}, wantFailed: extenderv1.FailedNodesMap{"full": capacity.Full.Text()}},
		"a pod that asks for 0":     {pod: podAsking("0"), names: []string{"full", "nobody"}, wantPassed: []string{"full", "nobody"}},
		"a pod without containers":  {pod: podAsking(), names: []string{"full"}, wantPassed: []string{"full"}},
		"a pod on the host network": {pod: hostNetwork, names: []string{"full"}, wantPassed: []string{"full"}},
		"an init container asks":    {pod: inInit, names: []string{"full"}, wantPassed: []string{}, wantFailed: extenderv1.FailedNodesMap{"full": capacity.Full.Text()}},
		"init containers ask too":   {pod: inBoth, names: []string{"roomy"}, wantPassed: []string{"roomy"}},
		"one container asks for 2":  {pod: podAsking("2"), names: []string{"roomy"}, wantError: "exactly one IPv4 address"},
		"two containers ask for 1":  {pod: podAsking("1", "1"), names: []string{"roomy"}, wantError: "exactly one IPv4 address"},
		"one asks for a thousand":   {pod: podAsking("1k"), names: []string{"roomy"}, wantError: "exactly one IPv4 address"},
		"an init container asks for 2": {
			pod: tooManyInInit, names: []string{"roomy"}, wantError: "exactly one IPv4 address",
		},
		"no pod":          {names: []string{"roomy"}, wantError: "no Pod"},
		"a pod of no UID": {pod: &corev1.Pod{}, names: []string{"roomy"}, wantError: "no metadata.uid"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			options := testOptions(t)
			options.Rooms = rooms
			body := marshal(t, extenderv1.ExtenderArgs{Pod: test.pod, NodeNames: &test.names})
			status, result := post[extenderv1.ExtenderFilterResult](t, newHandler(options), VerbFilter, body)
			if status != 200 {
				t.Errorf("status %d", status)
			}
			if test.wantError != "" {
				wantOnlyError(t, result, test.wantError)
				return
			}
			want := extenderv1.ExtenderFilterResult{NodeNames: &test.wantPassed, FailedAndUnresolvableNodes: test.wantFailed}
			if diff := cmp.Diff(want, result, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("answer differs (-want +got):\n%s", diff)
			}
			if result.NodeNames == nil {
				t.Error("NodeNames is null, which kube-scheduler takes for no answer")
			}
		})
	}
}

func TestFilterBadInput(t *testing.T) {
	pod := marshal(t, podAsking("1"))
	tests := map[string]struct{ body, want string }{
		"nothing":                {``, "EOF"},
		"no JSON":                {`hello`, "invalid character"},
		"no object":              {`["roomy"]`, "where { is due"},
		"cut off":                {`{"Pod":` + pod + `,"NodeNames":["roo`, "EOF"},
		"text behind":            {`{"Pod":` + pod + `,"NodeNames":["roomy"]} {}`, "text after"},
		"a member twice":         {`{"NodeNames":["roomy"],"Pod":` + pod + `,"NodeNames":["roomy"]}`, "duplicate"},
		"a member of pod twice":  {`{"Pod":{"metadata":{"uid":"1"},"metadata":{"uid":"1"}},"NodeNames":["roomy"]}`, "duplicate"},
		"not UTF-8":              {"{\"Pod\":" + pod + ",\"NodeNames\":[\"\xff\"]}", "UTF-8"},
		"pod is no object":       {`{"Pod":7,"NodeNames":["roomy"]}`, "Pod"},
		"quantity is no string":  {`{"Pod":{"metadata":{"uid":"1"},"spec":{"containers":[{"resources":{"requests":{"` + addressResource + `":1}}}]}},"NodeNames":[]}`, "PrivateIPv4Address"},
		"names are no list":      {`{"Pod":` + pod + `,"NodeNames":"roomy"}`, "where [ is due"},
		"a name is no string":    {`{"Pod":` + pod + `,"NodeNames":["roomy",7]}`, `"/NodeNames/1"`},
		"a name is null":         {`{"Pod":` + pod + `,"NodeNames":[null]}`, `"/NodeNames/0"`},
		"names are null":         {`{"Pod":` + pod + `,"Nodes":null,"NodeNames":null}`, "no NodeNames"},
		"names in another case":  {`{"Pod":` + pod + `,"nodenames":["roomy"]}`, "no NodeNames"},
		"whole nodes":            {`{"Pod":` + pod + `,"Nodes":{"items":[{"metadata":{"name":"roomy"}}]},"NodeNames":null}`, "nodeCacheCapable"},
		"whole nodes, and names": {`{"Pod":` + pod + `,"Nodes":{},"NodeNames":["roomy"]}`, "nodeCacheCapable"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			options := testOptions(t)
			options.Rooms = noRooms{t}
			status, result := post[extenderv1.ExtenderFilterResult](t, newHandler(options), VerbFilter, test.body)
			if status != 200 {
				t.Errorf("status %d", status)
			}
			wantOnlyError(t, result, test.want)
		})
	}
}

func TestFilterEscapedMemberNames(t *testing.T) {
	options := testOptions(t)
	options.Rooms = fakeRooms{"roomy": {Free: 1}}
	body := `{ "P\u006fd" : ` + marshal(t, podAsking("1")) + `, "more":[{"NodeNames":["other"]}], "Node\u004eames":["\u0072oomy"] }`
	_, result := post[extenderv1.ExtenderFilterResult](t, newHandler(options), VerbFilter, body)
	want := extenderv1.ExtenderFilterResult{NodeNames: &[]string{"roomy"}}
	if diff := cmp.Diff(want, result, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("answer differs (-want +got):\n%s", diff)
	}
}

func TestFilterCountsRefusals(t *testing.T) {
	options := testOptions(t)
	options.Rooms = fakeRooms{"roomy": {Free: 1}, "full": {Reason: capacity.Full}, "also full": {Reason: capacity.Full}}
	got := map[capacity.Reason]int{}
	options.Refused = func(reason capacity.Reason, nodes int) { got[reason] += nodes }
	body := marshal(t, extenderv1.ExtenderArgs{Pod: podAsking("1"), NodeNames: &[]string{"full", "roomy", "nobody", "also full"}})
	post[extenderv1.ExtenderFilterResult](t, newHandler(options), VerbFilter, body)
	if want := (map[capacity.Reason]int{capacity.Full: 2, capacity.Unknown: 1}); !maps.Equal(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
}

func TestRefusalTexts(t *testing.T) {
	seen := map[string]capacity.Reason{}
	for r := range capacity.Reasons {
		text, label := r.Text(), r.String()
		if (text == "") != (r == capacity.Fits) {
			t.Errorf("%d has the text %q", r, text)
		}
		if strings.ContainsAny(text, ",;") || strings.HasSuffix(text, ".") {
			t.Errorf("%q does not read well in kube-scheduler's list of reasons", text)
		}
		if other, ok := seen[text]; ok || label == "" {
			t.Errorf("%d has the label %q and a text of %d", r, label, other)
		}
		seen[text] = r
	}
}

func wantOnlyError(t *testing.T, result extenderv1.ExtenderFilterResult, text string) {
	t.Helper()
	if !strings.Contains(result.Error, text) {
		t.Errorf("Error is %q, want something with %q", result.Error, text)
	}
	if result.Error = ""; !cmp.Equal(result, extenderv1.ExtenderFilterResult{}) {
		t.Errorf("there is more than an Error: %+v", result)
	}
}

// TestFilterOfASample: a pod that was shown only full nodes is to be tried on others where
// those have room and were not shown, and else is refused by each node.
func TestFilterOfASample(t *testing.T) {
	full, roomy := capacity.Room{Reason: capacity.Full}, capacity.Room{Free: 1}
	for name, test := range map[string]struct {
		rooms fakeRooms
		names []string
		again bool
	}{
		"all of a sample are full, others have room":          {fakeRooms{"a": full, "b": full, "c": roomy}, []string{"a", "b"}, true},
		"all that there are are full":                         {fakeRooms{"a": full, "b": full}, []string{"a", "b"}, false},
		"fewer than a sample: the others are out of question": {fakeRooms{"a": full, "b": roomy}, []string{"a"}, false},
		"one of a sample has room":                            {fakeRooms{"a": full, "b": roomy, "c": roomy}, []string{"a", "b"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			options := testOptions(t)
			options.Rooms, options.Sample = test.rooms, 2
			body := marshal(t, extenderv1.ExtenderArgs{Pod: podAsking("1"), NodeNames: &test.names})
			_, result := post[extenderv1.ExtenderFilterResult](t, newHandler(options), VerbFilter, body)
			if again := strings.Contains(result.Error, "will be tried again"); again != test.again {
				t.Errorf("the answer is %+v; to be tried again: want %t", result, test.again)
			}
		})
	}
}
