package extender

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"slotwise.dev/slotwise/allocator/capacity"
)

// The verbs: what kube-scheduler's configuration calls filterVerb and so on,
// the last part of the URL, and what Options.Observe is told.
const (
	VerbFilter     = "filter"
	VerbPrioritize = "prioritize"
	VerbBind       = "bind"
	VerbPreempt    = "preempt"
)

// The outcomes that Options.Observe is told.
const (
	OutcomeOK         = "ok"
	OutcomeFailed     = "failed"      // the allocator gave a reason why not
	OutcomeBadRequest = "bad_request" // the request could not be understood or granted
	OutcomeNotServing = "not_serving" // Options.Serving said no
)

// errNotServing is for a standby, and for a leader before its ledgers are rebuilt.
var errNotServing = errors.New("this replica of Slotwise does not serve: " +
	"it is not the leader, or is still reading the state of the cluster; the pod will be tried again")

// badRequest is an error of the caller's making.
type badRequest struct{ error }

func (e badRequest) Unwrap() error { return e.error }

// handler answers the verbs.
type handler struct{ Options }

// exchange is one request and its answer, with all the memory that takes, which
// the next request uses again.
type exchange struct {
	body   bytes.Buffer
	args   nodeArgs
	rooms  []capacity.Room
	scores []int64
	failed []byte
	answer []byte
}

// verb reads x.body and appends to x.answer, or leaves it and returns why.
type verb func(ctx context.Context, x *exchange) error

func newHandler(options Options) http.Handler {
	h := &handler{options}
	mux := http.NewServeMux()
	mux.Handle("POST /"+VerbFilter, h.serve(VerbFilter, h.filter, alwaysOK))
	mux.Handle("POST /"+VerbPrioritize, h.serve(VerbPrioritize, h.prioritize, statusOf))
	mux.Handle("POST /"+VerbBind, h.serve(VerbBind, h.bind, alwaysOK))
	mux.Handle("POST /"+VerbPreempt, h.serve(VerbPreempt, h.preempt, statusOf))
	return mux
}

// serve makes a verb a handler. A verb whose result has an Error says it there,
// with status alwaysOK; for the others statusOf says it.
//
// Each verb has memory of its own to use again: the many binds that wait side by
// side would otherwise come to hold what filter has let grow to its needs.
func (h *handler) serve(name string, answer verb, status func(error) int) http.HandlerFunc {
	exchanges := sync.Pool{New: func() any { return new(exchange) }}
	return func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		x := exchanges.Get().(*exchange)
		defer exchanges.Put(x)
		x.body.Reset()
		x.answer = x.answer[:0]

		err := h.answer(w, r, x, answer)
		if err != nil {
			x.answer = appendError(x.answer, err)
		}
		if errors.Is(err, errNotServing) {
			// A client keeps its connection for as long as it uses it, and would ask this
			// replica for ever: over HTTP/2 this ends the connection too, with a GOAWAY.
			w.Header().Set("Connection", "close")
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(x.answer)))
		w.WriteHeader(status(err))
		_, _ = w.Write(x.answer) // it fails when the client has gone, and then there is no one to tell
		h.Observe(name, outcomeOf(err), time.Since(start))
	}
}

func (h *handler) answer(w http.ResponseWriter, r *http.Request, x *exchange, answer verb) error {
	if !h.Serving() {
		return errNotServing
	}
	if err := h.readBody(w, r, &x.body); err != nil {
		return badRequest{fmt.Errorf("reading the request, of at most %d bytes: %w", h.MaxBody, err)}
	}
	return answer(r.Context(), x)
}

func (h *handler) readBody(w http.ResponseWriter, r *http.Request, body *bytes.Buffer) error {
	if announced := r.ContentLength; announced > 0 && announced <= h.MaxBody {
		body.Grow(int(announced) + bytes.MinRead)
	}
	_, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, h.MaxBody))
	return err
}

// appendError appends what a result with nothing but an Error looks like.
func appendError(dst []byte, err error) []byte {
	// AppendQuote returns an error of text that is not UTF-8, and has replaced what is
	// wrong in it then.
	dst, _ = jsontext.AppendQuote(append(dst, `{"Error":`...), err.Error())
	return append(dst, '}')
}

func outcomeOf(err error) string {
	var bad badRequest
	switch {
	case err == nil:
		return OutcomeOK
	case errors.Is(err, errNotServing):
		return OutcomeNotServing
	case errors.As(err, &bad):
		return OutcomeBadRequest
	}
	return OutcomeFailed
}

func alwaysOK(error) int { return http.StatusOK }

func statusOf(err error) int {
	var tooLarge *http.MaxBytesError
	switch outcome := outcomeOf(err); {
	case outcome == OutcomeOK:
		return http.StatusOK
	case outcome == OutcomeNotServing:
		return http.StatusServiceUnavailable
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge
	case outcome == OutcomeBadRequest:
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}
