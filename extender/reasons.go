package extender

import (
	"github.com/go-json-experiment/json/jsontext"

	"slotwise.dev/slotwise/allocator/capacity"
)

// reasonMembers holds the texts of the reasons as they end a member of
// FailedAndUnresolvableNodes.
var reasonMembers = func() (members [capacity.Reasons][]byte) {
	for r := range capacity.Reasons {
		members[r], _ = jsontext.AppendQuote([]byte(":"), r.Text())
	}
	return members
}()
