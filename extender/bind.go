package extender

import (
	"context"
	"errors"

	"github.com/go-json-experiment/json"
	"k8s.io/apimachinery/pkg/types"
	extenderv1 "k8s.io/kube-scheduler/extender/v1"
)

var (
	errIncomplete = errors.New("PodName, PodNamespace, PodUID and Node are all needed to bind")
	errNoReason   = errors.New("the pod was not bound, for no reason that is known")
)

// bind answers an ExtenderBindingResult, once the pod is bound or cannot be.
// The time it may take is bounded, so that the scheduler hears the reason and
// does not run into its own timeout.
func (h *handler) bind(ctx context.Context, x *exchange) error {
	var args extenderv1.ExtenderBindingArgs
	if err := json.Unmarshal(x.body.Bytes(), &args); err != nil {
		return badRequest{err}
	}
	if args.PodName == "" || args.PodNamespace == "" || args.PodUID == "" || args.Node == "" {
		return badRequest{errIncomplete}
	}
	ctx, cancel := context.WithTimeout(ctx, h.BindTimeout)
	defer cancel()
	pod := types.NamespacedName{Namespace: args.PodNamespace, Name: args.PodName}
	if err := h.Binder.Bind(ctx, pod, args.PodUID, args.Node); err != nil {
		if err.Error() == "" {
			return errNoReason // to kube-scheduler an empty Error is a pod that is bound
		}
		return err
	}
	x.answer = append(x.answer, `{"Error":""}`...)
	return nil
}
