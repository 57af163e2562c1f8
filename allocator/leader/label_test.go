package leader

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/testr"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const (
	path     = "PATCH /api/v1/namespaces/kube-system/pods/slotwise-1 "
	marked   = path + `{"metadata":{"labels":{"slotwise.dev/leader":"true"}}}`
	unmarked = path + `{"metadata":{"labels":{"slotwise.dev/leader":null}}}`
	looked   = "GET /api/v1/namespaces/kube-system/pods/slotwise-1 "
)

// apiServer notes the requests that it gets, as clients write them.
type apiServer struct {
	err   error // of the next requests
	hangs bool  // until whoever asks gives up
	gone  bool  // the label
	asked []string
}

// RoundTrip is that of http.RoundTripper.
func (s *apiServer) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	s.asked = append(s.asked, r.Method+" "+r.URL.RequestURI()+" "+string(body))
	if s.hangs {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	if s.err != nil {
		return nil, s.err
	}
	answer := `{"metadata":{"labels":{"slotwise.dev/leader":"true"}}}`
	if s.gone {
		answer = "{}"
	}
	return &http.Response{
		StatusCode: http.StatusOK,
		Header:     http.Header{"Content-Type": {"application/json"}},
		Body:       io.NopCloser(strings.NewReader(answer)),
		Request:    r,
	}, nil
}

// want fails the test unless these were the requests since it was asked last.
func (s *apiServer) want(t *testing.T, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, s.asked); diff != "" {
		t.Errorf("requests differ (-want +got):\n%s", diff)
	}
	s.asked = nil
}

func (s *apiServer) label(t *testing.T) Label {
	t.Helper()
	client, err := kubernetes.NewForConfig(&rest.Config{Host: "http://api", Transport: s, QPS: -1})
	if err != nil {
		t.Fatal(err)
	}
	return Label{Kube: client, Pod: types.NamespacedName{Namespace: "kube-system", Name: "slotwise-1"}, Log: testr.New(t)}
}

func TestClear(t *testing.T) {
	s := &apiServer{}
	if err := s.label(t).Clear(t.Context()); err != nil {
		t.Error(err)
	}
	s.want(t, unmarked)
	s.err = errAPI
	if err := s.label(t).Clear(t.Context()); !errors.Is(err, errAPI) {
		t.Errorf("the error is %v, want %v", err, errAPI)
	}
}

// The label stands for as long as the pod leads; it goes though the context has ended.
func TestHold(t *testing.T) {
	for name, c := range map[string]struct {
		atTheEnd func(s *apiServer)
		takes    time.Duration // until it ends
	}{
		"it goes":                 {atTheEnd: func(*apiServer) {}},
		"it cannot be taken away": {atTheEnd: func(s *apiServer) { s.err = errAPI }},
		"the API server hangs: it is given up on": {atTheEnd: func(s *apiServer) { s.hangs = true }, takes: labelTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &apiServer{}
				ctx, cancel := context.WithCancel(t.Context())
				held := make(chan error, 1)
				go func() { held <- s.label(t).Hold(ctx) }()
				time.Sleep(labelCheck + time.Second)
				synctest.Wait()
				s.want(t, marked, looked)

				c.atTheEnd(s)
				ended := time.Now()
				cancel()
				if err := <-held; err != nil {
					t.Errorf("Hold ends with %v; whoever leads next does not need it", err)
				}
				if took := time.Since(ended); took != c.takes {
					t.Errorf("Hold ended after %s, want %s", took, c.takes)
				}
				s.want(t, unmarked)
			})
		})
	}
}

// Without the label the Service would lead the scheduler nowhere: then another one has to lead.
func TestHoldWithoutALabel(t *testing.T) {
	s := &apiServer{err: errAPI}
	if err := s.label(t).Hold(t.Context()); !errors.Is(err, errAPI) {
		t.Errorf("the error is %v, want %v", err, errAPI)
	}
	s.want(t, marked)
}

// A write of an earlier life of the container may take the label away after it was set.
func TestHoldSetsItAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &apiServer{}
		ctx, cancel := context.WithCancel(t.Context())
		held := make(chan error, 1)
		go func() { held <- s.label(t).Hold(ctx) }()
		time.Sleep(time.Second)
		s.want(t, marked)

		s.err = errAPI
		time.Sleep(labelCheck)
		s.want(t, looked)
		s.err, s.gone = nil, true
		time.Sleep(labelCheck)
		s.want(t, looked, marked)
		s.gone = false
		time.Sleep(labelCheck)
		s.want(t, looked)
		cancel()
		if err := <-held; err != nil {
			t.Error(err)
		}
	})
}
