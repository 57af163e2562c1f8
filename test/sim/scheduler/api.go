package scheduler

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/test/sim/apiserver"
)

// writer is what the scheduler writes.
type writer interface {
	// Bind binds a pod, which must be the very same.
	Bind(ctx context.Context, p *corev1.Pod, node string) error
	// PatchStatus patches a pod by its name, whichever has it. change says whether it has
	// changed anything.
	PatchStatus(ctx context.Context, pod types.NamespacedName, change func(*corev1.PodStatus) bool) error
	// Delete deletes a pod by its name, whichever has it.
	Delete(ctx context.Context, pod types.NamespacedName) error
}

// remoteWriter writes over the network.
type remoteWriter struct {
	client *apiserver.Client
	pods   apiserver.Remote[*corev1.Pod]
}

// Bind posts a binding (plugins/defaultbinder, util/utils.go BindPod).
func (w remoteWriter) Bind(ctx context.Context, p *corev1.Pod, node string) error {
	a := apiserver.Assignment{Pod: keyOf(p), UID: p.UID, Node: node}
	return retry(ctx, func() error { return w.client.Bind(ctx, a) })
}

// PatchStatus is that of writer.
func (w remoteWriter) PatchStatus(ctx context.Context, pod types.NamespacedName, change func(*corev1.PodStatus) bool) error {
	return retry(ctx, func() error {
		_, err := w.pods.Change(ctx, pod, "", func(p *corev1.Pod) error {
			if !change(&p.Status) {
				return apiserver.ErrUnchanged
			}
			return nil
		})
		return err
	})
}

// Delete is that of writer.
func (w remoteWriter) Delete(ctx context.Context, pod types.NamespacedName) error {
	return w.pods.Delete(ctx, pod, apiserver.Deletion{})
}

// retry tries a request up to four times where it was certainly not done
// (util/utils.go Retriable, client-go/util/retry DefaultBackoff).
func retry(ctx context.Context, request func() error) error {
	err := request()
	for pause := 10 * time.Millisecond; retriable(err) && pause < time.Second; pause *= 5 {
		if !sleep(ctx, pause) {
			break
		}
		err = request()
	}
	return err
}

func retriable(err error) bool {
	return apierrors.IsInternalError(err) || apierrors.IsServiceUnavailable(err) || apierrors.IsConflict(err)
}

func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
