package ec2

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/test/ec2sim"
)

// do makes a call, again and again as the caller's retryer has it: by the SDK's own
// middleware for that.
func do[Out any](ctx context.Context, c *Client, action cloud.Action, form url.Values, opts []func(*ec2.Options)) (Out, error) {
	var none Out
	call := sender{c, action, form}
	o := ec2.Options{Retryer: aws.NopRetryer{}}
	for _, set := range opts {
		set(&o)
	}
	var out any
	var err error
	if _, once := o.Retryer.(aws.NopRetryer); once {
		out, err = call.attempt(ctx)
	} else {
		attempts := retry.NewAttemptMiddleware(o.Retryer, func(request any) any { return request })
		var result middleware.FinalizeOutput
		result, _, err = attempts.HandleFinalize(ctx, middleware.FinalizeInput{}, call)
		out = result.Result
	}
	if err != nil {
		return none, &smithy.OperationError{ServiceID: "EC2", OperationName: string(action), Err: err}
	}
	return out.(Out), nil
}

// sender sends the requests of one call.
type sender struct {
	client *Client
	action cloud.Action
	form   url.Values
}

// HandleFinalize is that of middleware.FinalizeHandler: one attempt.
func (s sender) HandleFinalize(ctx context.Context, _ middleware.FinalizeInput) (out middleware.FinalizeOutput, m middleware.Metadata, err error) {
	out.Result, err = s.attempt(ctx)
	return out, m, err
}

// attempt sends the request, and waits for its answer as long as the client does. EC2
// goes on with a request whose client has gone.
func (s sender) attempt(ctx context.Context) (any, error) {
	waited, err := s.enter()
	if err != nil {
		return nil, err
	}
	// After a freeze a request may be sent before the timer of its context has run.
	if err := ctx.Err(); err != nil && (!waited || s.client.thawed.Add(1)%2 == 0) {
		return nil, &aws.RequestCanceledError{Err: err}
	}
	out, err := s.send(ctx)
	if g := s.client.gate; g != nil {
		if err := g.Leave(); err != nil {
			return nil, err
		}
	}
	return out, err
}

func (s sender) enter() (waited bool, err error) {
	if s.client.gate == nil {
		return false, nil
	}
	return s.client.gate.Enter(s.action == cloud.Assign || s.action == cloud.Unassign)
}

type answer struct {
	out any
	err error
}

func (s sender) send(ctx context.Context) (any, error) {
	answers := make(chan answer, 1)
	go func() {
		out, err := s.client.server.Do(string(s.action), s.form)
		answers <- answer{out, err}
	}()
	timer := time.NewTimer(attemptTimeout)
	defer timer.Stop()
	select {
	case a := <-answers:
		return a.out, asSDK(a.err)
	case <-timer.C:
		return nil, &smithyhttp.RequestSendError{Err: context.DeadlineExceeded}
	case <-ctx.Done():
		return nil, &aws.RequestCanceledError{Err: ctx.Err()}
	}
}

// asSDK is an error of the simulator as the SDK has it.
func asSDK(err error) error {
	refusal, ok := errors.AsType[*ec2sim.Error](err)
	switch {
	case err == nil:
		return nil
	case !ok: // dropped
		return &smithyhttp.RequestSendError{Err: io.EOF}
	}
	return &awshttp.ResponseError{ResponseError: &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: ec2sim.StatusOf(refusal.Code), Header: http.Header{}}},
		Err:      &smithy.GenericAPIError{Code: refusal.Code, Message: refusal.Message},
	}}
}
