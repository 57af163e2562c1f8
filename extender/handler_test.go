package extender

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"
	extenderv1 "k8s.io/kube-scheduler/extender/v1"

	"slotwise.dev/slotwise/allocator/capacity"
)

// goodBodies are requests that are answered without an Error.
func goodBodies(t testing.TB) map[string]string {
	nodes := marshal(t, extenderv1.ExtenderArgs{Pod: podAsking("1"), NodeNames: &[]string{"roomy"}})
	return map[string]string{
		VerbFilter:     nodes,
		VerbPrioritize: nodes,
		VerbBind:       `{"PodName":"web","PodNamespace":"shop","PodUID":"uid-of-web","Node":"roomy"}`,
		VerbPreempt:    `{"Pod":` + marshal(t, podAsking("1")) + `,"NodeNameToMetaVictims":{"roomy":{"Pods":[{"UID":"v"}]}}}`,
	}
}

func TestNotServing(t *testing.T) {
	options := testOptions(t)
	options.Serving = func() bool { return false }
	options.Rooms = noRooms{t}
	options.Binder = fakeBinder(func(context.Context, types.NamespacedName, types.UID, string) error {
		t.Error("a bind came through")
		return nil
	})
	options.Evictions = fakeEvictions(func(string, []types.UID) bool {
		t.Error("a preemption came through")
		return true
	})
	wantStatus := map[string]int{VerbFilter: 200, VerbPrioritize: 503, VerbBind: 200, VerbPreempt: 503}
	for verb, body := range goodBodies(t) {
		t.Run(verb, func(t *testing.T) {
			status, result := post[only](t, newHandler(options), verb, body)
			if status != wantStatus[verb] || result.Error != errNotServing.Error() {
				t.Errorf("status %d, Error %q", status, result.Error)
			}
		})
	}
}

func TestBodyLimit(t *testing.T) {
	wantStatus := map[string]int{VerbFilter: 200, VerbPrioritize: 413, VerbBind: 200, VerbPreempt: 413}
	for verb, body := range goodBodies(t) {
		t.Run(verb, func(t *testing.T) {
			options := testOptions(t)
			options.Rooms = fakeRooms{"roomy": {Free: 1}}
			options.MaxBody = int64(len(body))
			outcomes := observed(&options)
			handler := newHandler(options)
			postRaw(handler, verb, body)
			status, result := post[only](t, handler, verb, body+" ")
			if status != wantStatus[verb] || !strings.Contains(result.Error, "too large") {
				t.Errorf("one byte too many: status %d, Error %q", status, result.Error)
			}
			if want := []string{verb + " ok", verb + " bad_request"}; !slices.Equal(*outcomes, want) {
				t.Errorf("observed %q, want %q", *outcomes, want)
			}
		})
	}
}

// TestBodyLimitAnnounced: the length that a client announces is not what is relied on.
func TestBodyLimitAnnounced(t *testing.T) {
	for name, length := range map[string]int64{"nothing": -1, "less": 1, "more than there is memory": 1 << 50} {
		t.Run(name, func(t *testing.T) {
			options := testOptions(t)
			options.MaxBody = 100
			request := httptest.NewRequest(http.MethodPost, "/filter", strings.NewReader(strings.Repeat(" ", 101)))
			request.ContentLength = length
			recorder := httptest.NewRecorder()
			newHandler(options).ServeHTTP(recorder, request)
			if !strings.Contains(recorder.Body.String(), "too large") {
				t.Errorf("answer is %s", recorder.Body)
			}
		})
	}
}

func TestRouting(t *testing.T) {
	tests := map[string]struct {
		method, path string
		want         int
	}{
		"GET":                {http.MethodGet, "/filter", 405},
		"PUT":                {http.MethodPut, "/bind", 405},
		"unknown verb":       {http.MethodPost, "/reserve", 404},
		"root":               {http.MethodPost, "/", 404},
		"more than a verb":   {http.MethodPost, "/filter/more", 404},
		"trailing slash":     {http.MethodPost, "/filter/", 404},
		"verb in upper case": {http.MethodPost, "/Filter", 404},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			recorder := httptest.NewRecorder()
			newHandler(testOptions(t)).ServeHTTP(recorder, httptest.NewRequest(test.method, test.path, nil))
			if recorder.Code != test.want {
				t.Errorf("status %d, want %d", recorder.Code, test.want)
			}
		})
	}
}

func TestObserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		options := testOptions(t)
		options.Binder = fakeBinder(func(context.Context, types.NamespacedName, types.UID, string) error {
			time.Sleep(400 * time.Millisecond)
			return errors.New("no address")
		})
		var gotTime time.Duration
		outcomes := observed(&options)
		tell := options.Observe
		options.Observe = func(verb, outcome string, took time.Duration) {
			gotTime = took
			tell(verb, outcome, took)
		}
		handler := newHandler(options)
		postRaw(handler, VerbBind, goodBodies(t)[VerbBind])
		if want := []string{"bind failed"}; !slices.Equal(*outcomes, want) || gotTime != 400*time.Millisecond {
			t.Errorf("observed %q after %s", *outcomes, gotTime)
		}
	})
}

// TestAnswersDoNotMix: memory that is used again holds nothing of the request before.
func TestAnswersDoNotMix(t *testing.T) {
	options := testOptions(t)
	options.Rooms = fakeRooms{"roomy": {Free: 1}, "full": {Reason: capacity.Full}}
	options.MaxBody = 4096
	body := func(names ...string) string {
		return marshal(t, extenderv1.ExtenderArgs{Pod: podAsking("1"), NodeNames: &names})
	}
	type request struct{ verb, body string }
	requests := []request{
		{VerbFilter, body("roomy", "full")},
		{VerbFilter, `{"NodeNames":["full"]}`},
		{VerbFilter, `{"Pod":{"metadata":{"uid":"1"}},"NodeNames":["full"]}`},
		{VerbFilter, body("full")},
		{VerbFilter, `{"Nodes":{},"x":`},
		{VerbFilter, `{"Pod":{"metadata":{"uid":"1"}},"NodeNames":["full"]}`},
		{VerbFilter, `{"Pod":{"metadata":{"uid":"1"}}}`},
		{VerbFilter, body()},
		{VerbFilter, strings.Repeat(" ", 4097)},
		{VerbFilter, body("roomy")},
		{VerbPrioritize, body("roomy", "full")},
		{VerbPrioritize, body("full")},
		{VerbBind, goodBodies(t)[VerbBind]},
		{VerbBind, `{}`},
		{VerbPreempt, goodBodies(t)[VerbPreempt]},
		{VerbPreempt, `{}`},
	}
	var want []string
	for _, r := range requests {
		want = append(want, postRaw(newHandler(options), r.verb, r.body))
	}
	handler := newHandler(options)
	for range 3 {
		for i, r := range requests {
			if got := postRaw(handler, r.verb, r.body); got != want[i] {
				t.Errorf("%s of %s is answered %s, want %s", r.verb, r.body, got, want[i])
			}
		}
	}
}

// observed notes each verb and its outcome.
func observed(options *Options) *[]string {
	var outcomes []string
	options.Observe = func(verb, outcome string, _ time.Duration) { outcomes = append(outcomes, verb+" "+outcome) }
	return &outcomes
}

func postRaw(handler http.Handler, verb, body string) string {
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, "/"+verb, strings.NewReader(body)))
	return recorder.Body.String()
}
