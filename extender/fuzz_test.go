package extender

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	extenderv1 "k8s.io/kube-scheduler/extender/v1"

	"slotwise.dev/slotwise/allocator/capacity"
)

// fuzz sends any bytes to a verb: whatever comes, the answer is JSON of the
// result's type, or says what is wrong.
func fuzz[Result any](f *testing.F, verb string, check func(t *testing.T, body []byte, result Result)) {
	for _, body := range goodBodies(f) {
		f.Add([]byte(body))
		f.Add([]byte(body[:len(body)/2]))
	}
	for _, body := range []string{
		``, `null`, `[]`, `{}`, `{"Pod":{},"NodeNames":[]}`,
		`{"Pod":{"metadata":{"uid":"1"}},"NodeNames":["\ud83d\ude00","\ud800","\u0000","a\\"]}`,
		`{"Pod":{"metadata":{"uid":"1"},"spec":{"containers":[{"resources":{"requests":{"` + addressResource + `":"1"}}}]}},"NodeNames":["full","","roomy"]}`,
		`{"Pod":{"metadata":{"uid":"1"},"spec":{"containers":[null,{"resources":null}]}},"NodeNames":["full"]}`,
		`{"Pod":{"metadata":{"uid":"1"}},"NodeNameToVictims":{"\"":{"Pods":[{"metadata":{"uid":"2"}}],"NumPDBViolations":9223372036854775807}}}`,
		`{"PodName":"a","PodNamespace":"b","PodUID":"c","Node":"\u2028"}`,
	} {
		f.Add([]byte(body))
	}
	options := testOptions(f)
	options.Rooms = fakeRooms{"roomy": {Free: 1}, "full": {Reason: capacity.Full}}
	options.Evictions = fakeEvictions(func(node string, _ []types.UID) bool { return len(node)%2 == 0 })
	options.Binder = fakeBinder(func(_ context.Context, pod types.NamespacedName, uid types.UID, node string) error {
		if pod.Name == "" || pod.Namespace == "" || uid == "" || node == "" {
			panic("bound without knowing what to what")
		}
		return nil
	})
	handler := newHandler(options)
	f.Fuzz(func(t *testing.T, body []byte) {
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, "/"+verb, bytes.NewReader(body)))
		answer := recorder.Body.Bytes()
		if recorder.Code != 200 {
			var result only
			if err := json.Unmarshal(answer, &result); err != nil || result.Error == "" {
				t.Fatalf("status %d with %s: %v", recorder.Code, answer, err)
			}
			return
		}
		var result Result
		if err := json.Unmarshal(answer, &result); err != nil {
			t.Fatalf("%s is no %T: %v", answer, result, err)
		}
		check(t, body, result)
	})
}

func FuzzFilter(f *testing.F) {
	fuzz(f, VerbFilter, func(t *testing.T, body []byte, result extenderv1.ExtenderFilterResult) {
		if result.Error != "" {
			return
		}
		asked := askedAbout(t, body)
		for _, name := range *result.NodeNames {
			if !slices.Contains(asked, name) {
				t.Errorf("%q passed, and was not asked about", name)
			}
		}
		for name := range result.FailedAndUnresolvableNodes {
			if !slices.Contains(asked, name) {
				t.Errorf("%q is refused, and was not asked about", name)
			}
		}
	})
}

func FuzzPrioritize(f *testing.F) {
	fuzz(f, VerbPrioritize, func(t *testing.T, body []byte, result extenderv1.HostPriorityList) {
		asked := askedAbout(t, body)
		if len(asked) != len(result) {
			t.Fatalf("%d names, %d scores", len(asked), len(result))
		}
		for i, priority := range result {
			if priority.Host != asked[i] || priority.Score < 0 || priority.Score > extenderv1.MaxExtenderPriority {
				t.Errorf("%q scores %d as %q", asked[i], priority.Score, priority.Host)
			}
		}
	})
}

func FuzzBind(f *testing.F) {
	fuzz(f, VerbBind, func(*testing.T, []byte, extenderv1.ExtenderBindingResult) {})
}

func FuzzPreempt(f *testing.F) {
	fuzz(f, VerbPreempt, func(t *testing.T, _ []byte, result extenderv1.ExtenderPreemptionResult) {
		if result.NodeNameToMetaVictims == nil {
			t.Error("no NodeNameToMetaVictims")
		}
		for node, victims := range result.NodeNameToMetaVictims {
			if len(victims.Pods) == 0 {
				t.Errorf("%q came back without victims", node)
			}
		}
	})
}

// askedAbout is the names in a request, by another decoder than the one tested.
// It matches names of members in any letter case, so the request is read member
// by member.
func askedAbout(t *testing.T, body []byte) (names []string) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		t.Fatalf("bad JSON was answered: %v", err)
	}
	if err := json.Unmarshal(members["NodeNames"], &names); err != nil {
		t.Fatalf("a bad list of names was answered: %v", err)
	}
	return names
}
