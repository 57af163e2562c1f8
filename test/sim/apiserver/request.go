package apiserver

import (
	"context"
	"errors"
	"io"
	"net/url"
	"syscall"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilnet "k8s.io/apimachinery/pkg/util/net"
)

const (
	// maxRetries and retryAfter are client-go's: client-go v0.37.2, rest/request.go
	// (defaultMaxRetries) and with_retry.go.
	maxRetries = 10
	retryAfter = time.Second
	// forbidden is how likely an API server that has just started answers so.
	forbidden = 0.3
)

// Errors of the network, as client-go has them.
var (
	errRefused = network(syscall.ECONNREFUSED)
	errReset   = network(syscall.ECONNRESET)
	errEOF     = network(io.EOF)
	errSilent  = network(errors.New("http2: client connection lost"))
)

func network(err error) error {
	return &url.Error{Op: "Request", URL: "https://kubernetes.default.svc", Err: err}
}

// send carries a request to the server, and its answer back. handle runs at the moment at
// which the server carries it out, which may be after send has returned.
func send[R any](ctx context.Context, c *Client, t traffic, handle func() (R, error)) (R, error) {
	var none R
	limit := limitOf(ctx) // before it may be stopped: the request is written by then
	waited, err := c.link.enter(t == writing)
	if err != nil {
		return none, err
	}
	if err := ctx.Err(); err != nil {
		// After a freeze a request may be sent before the timer of its context has run.
		if waited && c.link.chance(0.5) {
			_, _ = attempt(context.WithoutCancel(ctx), c, t, limit, handle)
		}
		return none, network(err)
	}
	r, err := attempt(ctx, c, t, limit, handle)
	for n := 0; n < maxRetries && retried(t, err) && sleep(ctx, retryAfter); n++ {
		r, err = attempt(ctx, c, t, limit, handle)
	}
	if err := c.link.leave(); err != nil {
		return none, err
	}
	return r, err
}

// retried says that client-go sends a request again by itself: where the server asks for
// it, and reads whose connection broke. client-go v0.37.2, rest/request.go (request).
func retried(t traffic, err error) bool {
	if err == nil {
		return false
	}
	if seconds, asked := apierrors.SuggestsClientDelay(err); asked {
		return seconds > 0 && apierrors.IsTooManyRequests(err)
	}
	return t == reading && (utilnet.IsConnectionReset(err) || utilnet.IsProbableEOF(err) || utilnet.IsHTTP2ConnectionLost(err))
}

// attempt is one attempt of send.
func attempt[R any](ctx context.Context, c *Client, t traffic, limit time.Duration, handle func() (R, error)) (R, error) {
	var none R
	f, life := c.link.fate(t), c.server.life
	number, up := life.current()
	// land has it done without anybody who waits for it.
	land := func(after time.Duration) {
		time.AfterFunc(after, func() { life.land(number, func() { _, _ = handle() }) })
	}
	if !sleep(ctx, f.there) {
		if up && f.lands && t != reading && c.link.partition() == nil {
			land(f.there)
		}
		return none, network(ctx.Err())
	}
	if !up {
		return none, errRefused
	}
	if p := c.link.partition(); p != nil && !await(ctx, p) {
		return none, unanswered(ctx)
	}
	if !life.thawed(ctx) {
		if f.lands && t != reading {
			land(0)
		}
		return none, unanswered(ctx)
	}
	if now, up := life.current(); !up || now != number {
		return none, errReset
	}
	if err := c.refusal(f.outcome); err != nil {
		sleep(ctx, f.back)
		return none, err
	}
	switch f.outcome {
	case requestLost:
		return none, lost(ctx, f)
	case late:
		if f.late < limit {
			land(f.late)
		}
		return none, timedOut(f)
	default:
	}
	r, err := handle()
	if f.outcome == answerLost {
		return none, lost(ctx, f)
	}
	if !sleep(ctx, f.back) {
		return none, network(ctx.Err())
	}
	return r, err
}

// limited has a request tell the server until when it may be carried out.
func limited(ctx context.Context) context.Context { return context.WithValue(ctx, limitKey{}, true) }

type limitKey struct{}

// limitOf is for how long the server works on a request, from the moment at which it gets
// there (k8s.io/apiserver v0.37.2, pkg/endpoints/filters/request_deadline.go).
func limitOf(ctx context.Context) time.Duration {
	if end, bounded := ctx.Deadline(); bounded && ctx.Value(limitKey{}) != nil {
		return min(time.Until(end), RequestTimeout)
	}
	return RequestTimeout
}

// refusal is what the server answers without looking at a request.
func (c *Client) refusal(o outcome) error {
	switch {
	case o == busy:
		return apierrors.NewTooManyRequests("too many requests, please try again later.", int(retryAfter/time.Second))
	case o == unavailable:
		return apierrors.NewServiceUnavailable("the server is currently unable to handle the request")
	case c.server.young() && c.link.chance(forbidden):
		return apierrors.NewForbidden(Pods.resource(), "", errors.New("the informers of roles have not begun"))
	}
	return nil
}

// lost is how a client hears that there is no answer.
func lost(ctx context.Context, f fate) error {
	if f.breaks {
		return errReset
	}
	await(ctx, nil)
	return unanswered(ctx)
}

// unanswered is the error of a request that the client has given up.
func unanswered(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return network(err)
	}
	return errSilent
}

// timedOut is what the client of a late write is told: by the server, or by a proxy that
// breaks the connection. k8s.io/apiserver v0.37.2, pkg/server/filters/timeout.go.
func timedOut(f fate) error {
	if f.breaks {
		return errEOF
	}
	return apierrors.NewTimeoutError("request did not complete within the allotted timeout", 0)
}
