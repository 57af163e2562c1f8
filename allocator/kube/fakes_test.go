package kube

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/api/v1alpha1"
)

var (
	iis    = types.NamespacedName{Namespace: "default", Name: "iis"}
	errAPI = errors.New("the API server does not answer")

	anything = schema.GroupResource{Resource: "things"}
	notFound = apierrors.NewNotFound(anything, "x")
	conflict = apierrors.NewConflict(anything, "x", errors.New("it is another one"))
	invalid  = apierrors.NewInvalid(schema.GroupKind{Kind: "Thing"}, "x", nil)
)

// request is what the API server was asked.
type request struct {
	Do   string // method, path and query
	Type string // of the body
	Body string
}

// apiServer notes what it is asked. To what it has no answer for it answers with an
// empty object.
type apiServer struct {
	answers map[string]any // by method and path: an object, or a refusal

	mu    sync.Mutex
	asked []request
}

// RoundTrip is that of http.RoundTripper: requests get here as they are written, without
// a network.
func (s *apiServer) RoundTrip(r *http.Request) (*http.Response, error) {
	asked := request{Do: r.Method + " " + r.URL.RequestURI()}
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		asked.Type, asked.Body = r.Header.Get("Content-Type"), string(bytes.TrimSpace(body))
	}
	s.mu.Lock()
	s.asked = append(s.asked, asked)
	s.mu.Unlock()

	code, answer := http.StatusOK, s.answers[r.Method+" "+r.URL.Path]
	if answer == nil {
		answer = struct{}{}
	}
	if refusal, refused := answer.(*apierrors.StatusError); refused {
		status := refusal.ErrStatus
		status.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
		code, answer = int(status.Code), status
	}
	body, err := json.Marshal(answer)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: code,
		Header:     http.Header{"Content-Type": {"application/json"}},
		Body:       io.NopCloser(bytes.NewReader(body)),
		Request:    r,
	}, nil
}

// want fails the test unless these were the requests.
func (s *apiServer) want(t *testing.T, want ...request) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if diff := cmp.Diff(want, s.asked); diff != "" {
		t.Errorf("requests differ (-want +got):\n%s", diff)
	}
}

func (s *apiServer) config() *rest.Config {
	return &rest.Config{Host: "http://api", Transport: s, QPS: -1}
}

func (s *apiServer) kubernetes(t *testing.T) kubernetes.Interface {
	t.Helper()
	c, err := kubernetes.NewForConfig(s.config())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// client is one that knows of Nodes and NodeSlots without asking for it.
func (s *apiServer) client(t *testing.T) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(schema.GroupVersionKind{Version: "v1", Kind: "Node"}, meta.RESTScopeRoot)
	slots := v1alpha1.GroupVersion.WithResource("nodeslots")
	mapper.AddSpecific(v1alpha1.GroupVersion.WithKind("NodeSlots"), slots, slots, meta.RESTScopeRoot)
	c, err := client.New(s.config(), client.Options{Scheme: scheme, Mapper: mapper})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func leads() bool { return true }
