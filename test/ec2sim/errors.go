package ec2sim

import (
	"fmt"
	"net/http"
)

// The error codes of EC2 that the simulator answers by its own rules. A Fault
// may answer any other.
const (
	CodeAuthFailure           = "AuthFailure"
	CodeFilterLimitExceeded   = "FilterLimitExceeded"
	CodeInsufficientAddresses = "InsufficientFreeAddressesInSubnet"
	CodeInsufficientBlocks    = "InsufficientCidrBlocks"
	CodeInvalidAction         = "InvalidAction"
	CodeInvalidCombination    = "InvalidParameterCombination"
	CodeInvalidInstance       = "InvalidInstanceID.NotFound"
	CodeInvalidInstanceType   = "InvalidInstanceType"
	CodeInvalidInterface      = "InvalidNetworkInterfaceID.NotFound"
	CodeInvalidSubnet         = "InvalidSubnetID.NotFound"
	CodeInvalidToken          = "InvalidNextToken"
	CodeInvalidValue          = "InvalidParameterValue"
	CodeLimitExceeded         = "PrivateIpAddressLimitExceeded"
	CodeMissingParameter      = "MissingParameter"
	CodeThrottled             = "RequestLimitExceeded"
	CodeUnsupported           = "UnsupportedOperation"
)

// Error is a refusal by EC2, as the client sees it in a smithy.APIError.
type Error struct {
	Code    string
	Message string
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

func refuse(code, format string, args ...any) error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Refusals that need no words of their own. The messages are EC2's.
var (
	errThrottled = refuse(CodeThrottled, "Request limit exceeded.")
	errNoAddress = refuse(CodeInsufficientAddresses,
		"The specified subnet does not have enough free addresses to satisfy the request.")
	errNoBlock = refuse(CodeInsufficientBlocks,
		"The specified subnet does not have enough free cidr blocks to satisfy the request.")
)

// statuses are the HTTP statuses other than 400 that go with a code. They
// matter: the SDK's retryer looks at the status as well as at the code.
var statuses = map[string]int{
	CodeAuthFailure:         http.StatusUnauthorized,
	CodeThrottled:           http.StatusServiceUnavailable,
	"InternalError":         http.StatusInternalServerError,
	"InternalFailure":       http.StatusInternalServerError,
	"Unavailable":           http.StatusServiceUnavailable,
	"ServiceUnavailable":    http.StatusServiceUnavailable,
	"UnauthorizedOperation": http.StatusForbidden,
}

func statusOf(code string) int {
	if status, ok := statuses[code]; ok {
		return status
	}
	return http.StatusBadRequest
}
