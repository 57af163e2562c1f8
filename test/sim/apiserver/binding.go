package apiserver

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

var (
	bindings  = schema.GroupResource{Resource: "pods/binding"}
	evictions = schema.GroupResource{Resource: "Pod"}
)

// Assignment is a Binding: it puts a pod on a node, and merges annotations into it in
// the same write.
type Assignment struct {
	Pod         types.NamespacedName
	UID         types.UID // a precondition; empty: none
	Node        string
	Annotations map[string]string
}

// bind is pkg/registry/core/pod/storage/storage.go (setPodNodeAndMetadata, assignPod). A
// pod of another UID, one that is being deleted, and one that is bound, are conflicts.
func (t transaction) bind(a Assignment) error {
	old, err := t.find(Pods, a.Pod, a.UID)
	if err != nil {
		return err
	}
	pod := old.(*corev1.Pod)
	switch {
	case pod.DeletionTimestamp != nil:
		err = fmt.Errorf("pod %s is being deleted, cannot be assigned to a host", pod.Name)
	case pod.Spec.NodeName != "":
		err = fmt.Errorf("pod %v is already assigned to node %q", pod.Name, pod.Spec.NodeName)
	case len(pod.Spec.SchedulingGates) != 0:
		err = fmt.Errorf("pod %v has non-empty .spec.schedulingGates", pod.Name)
	}
	if err != nil {
		return apierrors.NewConflict(bindings, pod.Name, err)
	}
	pod = pod.DeepCopy()
	pod.Spec.NodeName = a.Node
	// The feature ClearingNominatedNodeNameAfterBinding is on since 1.35 (beta) in
	// pkg/features/kube_features.go.
	pod.Status.NominatedNodeName = ""
	annotate(pod, a.Annotations)
	setCondition(pod, corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionTrue})
	t.store.put(Pods, pod, t.by)
	return nil
}

// evict is pkg/registry/core/pod/storage/eviction.go. A pod that has not begun, has ended
// or is being deleted needs no leave of a disruption budget. Of others the condition is
// written first, then the pod is deleted.
func (t transaction) evict(key types.NamespacedName, uid types.UID) error {
	old, err := t.find(Pods, key, "")
	if err != nil {
		return err
	}
	pod := old.(*corev1.Pod)
	free := pod.DeletionTimestamp != nil || pod.Status.Phase != corev1.PodRunning
	if budget := t.store.budget; !free && budget != nil && budget(pod) {
		return apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", 0)
	}
	if uid != "" && pod.UID != uid {
		return apierrors.NewConflict(evictions, pod.Name,
			fmt.Errorf("the UID in the precondition (%s) does not match the UID in record (%s). The object might have been deleted and then recreated", uid, pod.UID))
	}
	pod = pod.DeepCopy()
	setCondition(pod, corev1.PodCondition{
		Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "EvictionByEvictionAPI", Message: "Eviction API: evicting",
	})
	if _, err := t.replace(Pods, old, pod); err != nil {
		return err
	}
	return t.delete(Pods, key, Deletion{UID: uid})
}

// setCondition sets a condition of a pod, or adds it.
func setCondition(p *corev1.Pod, c corev1.PodCondition) {
	for i := range p.Status.Conditions {
		if p.Status.Conditions[i].Type == c.Type {
			p.Status.Conditions[i] = c
			return
		}
	}
	p.Status.Conditions = append(p.Status.Conditions, c)
}
