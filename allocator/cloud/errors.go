package cloud

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Class says what can be done after an error of EC2.
type Class uint8

const (
	// None is the class of no error.
	None Class = iota
	// RetryLater means: throttled, so certainly not done.
	RetryLater
	// NoRoom means: the subnet cannot give it. Not done.
	NoRoom
	// OutOfStep means: the interface is not as the caller thinks. Not done; describe
	// it before asking for anything else.
	OutOfStep
	// Gone means: EC2 does not know the thing, or no longer. EC2 may also not know a
	// thing yet in the first seconds of its life.
	Gone
	// Refused means: not done, and will not be until a person fixes something.
	Refused
	// Lost means: no answer, or none that can be trusted. A change may have been done:
	// look it up.
	Lost
)

func (c Class) String() string {
	return [...]string{"none", "retry-later", "no-room", "out-of-step", "gone", "refused", "lost"}[c]
}

// Error is a call of EC2 that gave no result. Its text names the action, what it was
// about, and the fix.
type Error struct {
	Class  Class
	Action Action
	About  string // the id that was asked about; empty when there were many
	Code   string // EC2's error code; empty when EC2 did not answer with one
	Err    error
}

func (e *Error) Error() string {
	what := string(e.Action)
	if e.About != "" {
		what += " " + e.About
	}
	return fmt.Sprintf("%s: %s: %s", what, reason(e.Err), e.fix())
}

func (e *Error) Unwrap() error { return e.Err }

// Classify says what can be done after an error. Errors that are not from this package,
// such as the end of a context, are Lost: nothing is known.
func Classify(err error) Class {
	if err == nil {
		return None
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Class
	}
	return Lost
}

// OfNames says that an assign by name failed for what it named, which somebody else has.
// It says nothing of what is assigned without names.
func OfNames(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && (e.Class == NoRoom || e.Code == "InvalidParameterValue")
}

// about names the id in an error of a call that many ids share.
func about(err error, id string) error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return fmt.Errorf("look up %s: %w", id, err)
	}
	named := *e
	named.About = id
	return &named
}

// wrap makes the *Error of what the SDK returned; nil stays nil.
func wrap(action Action, id string, err error) error {
	if err == nil {
		return nil
	}
	e := &Error{Class: Lost, Action: action, About: id, Err: err}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		e.Code = api.ErrorCode()
		e.Class = classOf(e.Code, api.ErrorMessage(), status(err))
	}
	return e
}

// classes are the codes that mean the same wherever they come from.
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
var classes = map[string]Class{
	"InsufficientCidrBlocks":             NoRoom,
	"InsufficientFreeAddressesInSubnet":  NoRoom,
	"PrivateIpAddressLimitExceeded":      OutOfStep,
	"IncorrectState":                     OutOfStep,
	"InvalidParameterValue":              OutOfStep,
	"InvalidNetworkInterfaceID.NotFound": Gone,
	"InvalidInstanceID.NotFound":         Gone,
	"InvalidSubnetID.NotFound":           Gone,
	"InternalError":                      Lost,
	"InternalFailure":                    Lost,
	"RequestTimeout":                     Lost,
	"ServiceUnavailable":                 Lost,
	"Unavailable":                        Lost,
	"UnknownError":                       Lost, // the SDK's word for an answer without a code
}

// noRoomText is how EC2 also says that a subnet is full: with the code
// InvalidParameterValue, which means many other things. Only the message tells this
// case from those, so here, and nowhere else, the message is read.
const noRoomText = "aren't sufficient free Ipv4 addresses or prefixes"

func classOf(code, message string, status int) Class {
	if _, ok := retry.DefaultThrottleErrorCodes[code]; ok {
		return RetryLater // before the status: EC2 throttles with a 503
	}
	if code == "InvalidParameterValue" && strings.Contains(message, noRoomText) {
		return NoRoom
	}
	if class, ok := classes[code]; ok {
		return class
	}
	if status >= http.StatusInternalServerError {
		return Lost
	}
	return Refused
}

func (e *Error) fix() string {
	switch e.Class {
	case RetryLater:
		return "EC2 throttles the account; it is tried again more slowly. If it lasts, ask AWS for a higher request rate"
	case NoRoom:
		return "free addresses or whole /28 blocks in the subnet, or use nodes of another subnet"
	case OutOfStep:
		return "the interface is looked up before anything else is asked of it"
	case Gone:
		return "EC2 does not know it"
	case Refused:
		return e.fixRefused()
	case None, Lost:
		if e.Action == Assign || e.Action == Unassign {
			return "it may have been done; the interface is looked up before anything else is asked of it"
		}
	}
	return "it is asked again"
}

func (e *Error) fixRefused() string {
	switch e.Code {
	case "UnauthorizedOperation", "AccessDenied":
		return fmt.Sprintf("allow ec2:%s to the identity that Slotwise runs as", e.Action)
	case "AuthFailure", "InvalidClientTokenId", "SignatureDoesNotMatch", "MissingAuthenticationToken", "RequestExpired":
		return "check the credentials that Slotwise runs with, and the machine's clock"
	case "OptInRequired", "PendingVerification", "Blocked":
		return "the AWS account may not use EC2 here; see its console"
	default:
		return "it stays so until somebody changes the cause"
	}
}

// status is the HTTP status of EC2's answer, 0 without one.
func status(err error) int {
	if r, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		return r.HTTPStatusCode()
	}
	return 0
}

// reason is the part of an SDK error that says what went wrong. The SDK's own text
// begins with the service, the operation and the state of the retries.
func reason(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		text := fmt.Sprintf("%s: %s", api.ErrorCode(), api.ErrorMessage())
		if r, ok := errors.AsType[interface {
			error
			ServiceRequestID() string
		}](err); ok {
			text += fmt.Sprintf(" (request %s)", r.ServiceRequestID())
		}
		return text
	}
	if send, ok := errors.AsType[*smithyhttp.RequestSendError](err); ok {
		return send.Err.Error()
	}
	return err.Error()
}
