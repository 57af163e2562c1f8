package cloud

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// refusal is an error as the SDK returns it when EC2 answers with one.
func refusal(action Action, status int, code, message string) error {
	return &smithy.OperationError{ServiceID: "EC2", OperationName: string(action), Err: &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status}},
		Err:      &smithy.GenericAPIError{Code: code, Message: message},
	}}
}

func TestClassify(t *testing.T) {
	cases := map[string]struct {
		status  int
		code    string
		message string
		want    Class
	}{
		"throttled":                   {status: 503, code: "RequestLimitExceeded", want: RetryLater},
		"throttled by the other name": {status: 400, code: "Throttling", want: RetryLater},
		"no /28":                      {status: 400, code: "InsufficientCidrBlocks", want: NoRoom},
		"no address":                  {status: 400, code: "InsufficientFreeAddressesInSubnet", want: NoRoom},
		"no room, in words":           {status: 400, code: "InvalidParameterValue", message: "There aren't sufficient free Ipv4 addresses or prefixes", want: NoRoom},
		"unassign what is not there":  {status: 400, code: "InvalidParameterValue", message: "Some of [10.0.0.5] are not assigned to interface eni-1", want: OutOfStep},
		"the ENI's slots are full":    {status: 400, code: "PrivateIpAddressLimitExceeded", want: OutOfStep},
		"no such ENI":                 {status: 400, code: "InvalidNetworkInterfaceID.NotFound", want: Gone},
		"no such instance":            {status: 400, code: "InvalidInstanceID.NotFound", want: Gone},
		"no such subnet":              {status: 400, code: "InvalidSubnetID.NotFound", want: Gone},
		"not allowed":                 {status: 403, code: "UnauthorizedOperation", want: Refused},
		"bad credentials":             {status: 401, code: "AuthFailure", want: Refused},
		"no subscription":             {status: 401, code: "OptInRequired", want: Refused},
		"a code of the future":        {status: 400, code: "NeverHeardOf", want: Refused},
		"EC2 broke down":              {status: 500, code: "InternalError", want: Lost},
		"EC2 is overloaded":           {status: 503, code: "Unavailable", want: Lost},
		"a server's code we know not": {status: 500, code: "NeverHeardOf", want: Lost},
		"an answer that is not EC2's": {status: 403, code: "UnknownError", want: Lost},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := wrap(Assign, "eni-1", refusal(Assign, c.status, c.code, c.message))
			if got := Classify(fmt.Errorf("wrapped: %w", err)); got != c.want {
				t.Errorf("class of %q is %v, want %v", c.code, got, c.want)
			}
			if got := code(err); got != c.code {
				t.Errorf("counted under %q, want %q", got, c.code)
			}
		})
	}
}

func TestClassifyWithoutACode(t *testing.T) {
	sending := &smithyhttp.RequestSendError{Err: errors.New("connection reset")}
	cases := map[string]struct {
		err  error
		want Class
	}{
		"no error":            {err: nil, want: None},
		"connection lost":     {err: wrap(Assign, "eni-1", sending), want: Lost},
		"garbled answer":      {err: wrap(Assign, "eni-1", &smithy.DeserializationError{Err: errors.New("XML")}), want: Lost},
		"the caller went":     {err: wrap(Assign, "eni-1", &smithy.CanceledError{Err: context.Canceled}), want: Lost},
		"of another package":  {err: errors.New("no idea"), want: Lost},
		"end of the waiting":  {err: context.DeadlineExceeded, want: Lost},
		"named for one of it": {err: about(wrap(DescribeInstances, "", sending), "i-1"), want: Lost},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := Classify(c.err); got != c.want {
				t.Errorf("class is %v, want %v", got, c.want)
			}
		})
	}
}

// An operator reads the text: it names the action, the thing and the fix, and
// nothing of the SDK's inner life.
func TestErrorText(t *testing.T) {
	cases := map[string]struct {
		err  error
		want []string
	}{
		"not allowed": {
			err:  wrap(Assign, "eni-1", refusal(Assign, 403, "UnauthorizedOperation", "You are not authorized")),
			want: []string{"AssignPrivateIpAddresses eni-1: UnauthorizedOperation: You are not authorized", "allow ec2:AssignPrivateIpAddresses"},
		},
		"credentials": {err: wrap(Assign, "eni-1", refusal(Assign, 401, "AuthFailure", "no")), want: []string{"credentials"}},
		"account":     {err: wrap(Assign, "eni-1", refusal(Assign, 401, "OptInRequired", "no")), want: []string{"account"}},
		"no room":     {err: wrap(Assign, "eni-1", refusal(Assign, 400, "InsufficientCidrBlocks", "full")), want: []string{"InsufficientCidrBlocks: full", "/28"}},
		"lost": {
			err:  wrap(Unassign, "eni-1", &smithyhttp.RequestSendError{Err: errors.New("connection reset")}),
			want: []string{"UnassignPrivateIpAddresses eni-1: connection reset: it may have been done"},
		},
		"read": {
			err:  about(wrap(DescribeInterfaces, "", errors.New("bad")), "eni-7"),
			want: []string{"DescribeNetworkInterfaces eni-7: bad: it is asked again"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := c.err.Error()
			for _, want := range c.want {
				if !strings.Contains(got, want) {
					t.Errorf("%q does not say %q", got, want)
				}
			}
			if strings.Contains(got, "operation error EC2") {
				t.Errorf("%q repeats the SDK's preamble", got)
			}
		})
	}
}
