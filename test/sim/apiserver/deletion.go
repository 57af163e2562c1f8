package apiserver

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Deletion says how an object is to be deleted.
type Deletion struct {
	UID     types.UID // a precondition; empty: none
	Version string    // a precondition; empty: none
	Grace   *int64    // in seconds; nil: as the pod has it; 0: by force
}

// Force is the grace of a deletion by force, as a kubelet's last one is.
func Force() *int64 { return new(int64(0)) }

// delete deletes an object. Only pods end in two steps. Finalizers are not kept.
// k8s.io/apiserver v0.37.2, pkg/registry/generic/registry/store.go (Delete,
// updateForGracefulDeletionAndFinalizers).
func (t transaction) delete(k Kind, key types.NamespacedName, d Deletion) error {
	old, err := t.find(k, key, "")
	if err != nil {
		return err
	}
	if err := d.check(k, old); err != nil {
		return err
	}
	last := old.DeepCopyObject().(Object)
	if pod, ok := last.(*corev1.Pod); ok {
		marked, pending := mark(pod, d.Grace, time.Now())
		if pending {
			return nil
		}
		if marked {
			// A pod that goes at once is marked, too: its watches see both.
			t.store.put(k, pod, t.by)
			if *pod.DeletionGracePeriodSeconds > 0 {
				return nil
			}
			last = pod.DeepCopyObject().(Object)
		}
	}
	t.store.remove(k, last, t.by)
	t.orphaned(k, last)
	return nil
}

// check is for the preconditions: k8s.io/apiserver v0.37.2, pkg/registry/rest/delete.go
// (BeforeDelete).
func (d Deletion) check(k Kind, o Object) error {
	if d.UID != "" && d.UID != o.GetUID() {
		return apierrors.NewConflict(k.resource(), o.GetName(),
			fmt.Errorf("the UID in the precondition (%s) does not match the UID in record (%s). The object might have been deleted and then recreated", d.UID, o.GetUID()))
	}
	if d.Version != "" && d.Version != o.GetResourceVersion() {
		return apierrors.NewConflict(k.resource(), o.GetName(),
			fmt.Errorf("the ResourceVersion in the precondition (%s) does not match the ResourceVersion in record (%s). The object might have been modified", d.Version, o.GetResourceVersion()))
	}
	return nil
}

// mark gives a pod its deletion timestamp and grace period. pending says that it has a
// shorter one already; marked, that the pod has changed.
// pkg/registry/core/pod/strategy.go (CheckGracefulDelete), and k8s.io/apiserver v0.37.2,
// pkg/registry/rest/delete.go (BeforeDelete).
func mark(p *corev1.Pod, grace *int64, now time.Time) (marked, pending bool) {
	if grace != nil && *grace < 0 {
		grace = new(int64(1))
	}
	if p.DeletionTimestamp != nil {
		return shorten(p, grace, now)
	}
	period := int64(0)
	switch {
	case p.Spec.NodeName == "", p.Status.Phase == corev1.PodFailed, p.Status.Phase == corev1.PodSucceeded:
	case grace != nil:
		period = *grace
	case p.Spec.TerminationGracePeriodSeconds != nil:
		period = *p.Spec.TerminationGracePeriodSeconds
	}
	if period < 0 {
		period = 1
	}
	p.DeletionTimestamp = new(metav1.NewTime(now.Add(time.Duration(period) * time.Second)))
	p.DeletionGracePeriodSeconds = &period
	return true, false
}

// shorten brings the end of a pod that is being deleted nearer; it is never put off.
func shorten(p *corev1.Pod, grace *int64, now time.Time) (marked, pending bool) {
	was := p.DeletionGracePeriodSeconds
	switch {
	case was == nil || *was == 0:
		return false, false
	case grace == nil || *grace >= *was:
		return false, true
	}
	period := *grace
	end := p.DeletionTimestamp.Add(time.Duration(period-*was) * time.Second)
	if end.Before(now) {
		end = now
		period = min(period, 1)
	}
	p.DeletionTimestamp, p.DeletionGracePeriodSeconds = new(metav1.NewTime(end)), &period
	return true, false
}
