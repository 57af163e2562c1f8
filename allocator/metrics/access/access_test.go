package access

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"
)

// apiServer knows the tokens "reader" and "stranger", and lets the first get /metrics.
func apiServer(t *testing.T) *fake.Clientset {
	t.Helper()
	kube := fake.NewClientset()
	kube.PrependReactor("create", "tokenreviews", func(a clienttesting.Action) (bool, runtime.Object, error) {
		review := a.(clienttesting.CreateAction).GetObject().(*authenticationv1.TokenReview)
		token := review.Spec.Token
		review.Status.Authenticated = token == "reader" || token == "stranger"
		review.Status.User = authenticationv1.UserInfo{
			Username: token, Groups: []string{"people"}, Extra: map[string]authenticationv1.ExtraValue{"from": {"here"}},
		}
		return true, review, nil
	})
	kube.PrependReactor("create", "subjectaccessreviews", func(a clienttesting.Action) (bool, runtime.Object, error) {
		review := a.(clienttesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview)
		s := review.Spec
		if len(s.Groups) != 1 || s.Groups[0] != "people" || s.Extra["from"][0] != "here" {
			t.Errorf("asked about groups %v and extra %v, not the user's", s.Groups, s.Extra)
		}
		review.Status.Allowed = s.User == "reader" && *s.NonResourceAttributes == authorizationv1.NonResourceAttributes{Verb: "get", Path: "/metrics"}
		return true, review, nil
	})
	return kube
}

func TestGate(t *testing.T) {
	away := fake.NewClientset()
	away.PrependReactor("create", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("the API server is away")
	})
	for name, tc := range map[string]struct {
		kube          *fake.Clientset
		looks         int
		authorization string
		path          string
		want          int
	}{
		"a reader":              {kube: apiServer(t), looks: 1, authorization: "Bearer reader", path: "/metrics", want: http.StatusOK},
		"nobody":                {kube: apiServer(t), looks: 1, path: "/metrics", want: http.StatusUnauthorized},
		"an empty token":        {kube: apiServer(t), looks: 1, authorization: "Bearer ", path: "/metrics", want: http.StatusUnauthorized},
		"a password":            {kube: apiServer(t), looks: 1, authorization: "Basic reader", path: "/metrics", want: http.StatusUnauthorized},
		"an unknown token":      {kube: apiServer(t), looks: 1, authorization: "Bearer forged", path: "/metrics", want: http.StatusUnauthorized},
		"a user without rights": {kube: apiServer(t), looks: 1, authorization: "Bearer stranger", path: "/metrics", want: http.StatusForbidden},
		"another path":          {kube: apiServer(t), looks: 1, authorization: "Bearer reader", path: "/debug", want: http.StatusForbidden},
		"too many looks":        {kube: apiServer(t), looks: 0, authorization: "Bearer reader", path: "/metrics", want: http.StatusTooManyRequests},
		"no API server":         {kube: away, looks: 1, authorization: "Bearer reader", path: "/metrics", want: http.StatusServiceUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate(tc.kube, rate.NewLimiter(0, tc.looks), logr.Discard())
			inside := false
			handler := g.guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { inside = true }))
			request := httptest.NewRequest(http.MethodGet, tc.path, http.NoBody)
			if tc.authorization != "" {
				request.Header.Set("Authorization", tc.authorization)
			}
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, request)
			if answer.Code != tc.want || inside != (tc.want == http.StatusOK) {
				t.Errorf("answered %d, let in: %t; want %d", answer.Code, inside, tc.want)
			}
		})
	}
}

// reviews answers all reviews: it is the reader's token, and the reader may.
type reviews struct{ asked int }

// RoundTrip is that of http.RoundTripper.
func (r *reviews) RoundTrip(q *http.Request) (*http.Response, error) {
	r.asked++
	return &http.Response{
		StatusCode: http.StatusCreated,
		Header:     http.Header{"Content-Type": {"application/json"}},
		Body:       io.NopCloser(strings.NewReader(`{"status":{"authenticated":true,"allowed":true}}`)),
		Request:    q,
	}, nil
}

// The API server is asked as often as it may be, and no more until some time has passed.
func TestFilter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &reviews{}
		filter, err := Filter(&rest.Config{Host: "http://api", QPS: -1}, &http.Client{Transport: api})
		if err != nil {
			t.Fatal(err)
		}
		handler, err := filter(logr.Discard(), http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		if err != nil {
			t.Fatal(err)
		}
		look := func(token int) int {
			request := httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody)
			request.Header.Set("Authorization", "Bearer "+strconv.Itoa(token))
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, request)
			return answer.Code
		}
		for i := range looksAtOnce {
			if code := look(i); code != http.StatusOK {
				t.Errorf("look %d was answered %d", i+1, code)
			}
		}
		if code := look(looksAtOnce); code != http.StatusTooManyRequests || api.asked != 2*looksAtOnce {
			t.Errorf("a look too many was answered %d, the API server was asked %d times; want %d, %d",
				code, api.asked, http.StatusTooManyRequests, 2*looksAtOnce)
		}
		if code := look(0); code != http.StatusOK || api.asked != 2*looksAtOnce {
			t.Errorf("who was let in before was answered %d, the API server was asked %d times; want %d, %d",
				code, api.asked, http.StatusOK, 2*looksAtOnce)
		}
		time.Sleep(time.Second / looksPerSecond)
		if code := look(looksAtOnce); code != http.StatusOK {
			t.Errorf("a later look was answered %d", code)
		}
		time.Sleep(admittedFor)
		if look(0); api.asked != 2*(looksAtOnce+2) {
			t.Errorf("the API server was asked %d times in all, want %d: who was let in is looked up anew after %s",
				api.asked, 2*(looksAtOnce+2), admittedFor)
		}
	})
}
