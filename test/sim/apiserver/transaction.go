package apiserver

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"slotwise.dev/slotwise/allocator/api/v1alpha1"
)

// transaction is what one request changes. It holds the store's writing.
type transaction struct {
	store *store
	by    string
}

// errClosed is what is answered after Close.
var errClosed = errors.New("the API server has been closed")

// transact runs one request to its end, with no other in between.
func (s *store) transact(by string, do func(transaction) error) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.closed {
		return errClosed
	}
	return do(transaction{s, by})
}

// find reads an object whose UID, where one is asked for, must be that.
func (t transaction) find(k Kind, key types.NamespacedName, uid types.UID) (Object, error) {
	o, ok := t.store.get(k, key)
	if !ok {
		return nil, apierrors.NewNotFound(k.resource(), key.Name)
	}
	if uid != "" && o.GetUID() != uid {
		// pkg/storage/interfaces.go (Preconditions.Check), and storage/errors/storage.go
		// (InterpretUpdateError), k8s.io/apiserver v0.37.2.
		return nil, apierrors.NewConflict(k.resource(), key.Name,
			fmt.Errorf("Precondition failed: UID in precondition: %v, UID in object meta: %v", uid, o.GetUID()))
	}
	return o, nil
}

// create adds an object, which is given away.
func (t transaction) create(k Kind, o Object) (Object, error) {
	t.store.made++
	number := t.store.made
	if o.GetName() == "" && o.GetGenerateName() != "" {
		o.SetName(o.GetGenerateName() + strconv.FormatUint(number, 36))
	}
	if old, exists := t.store.get(k, keyOf(o)); exists {
		err := apierrors.NewAlreadyExists(k.resource(), o.GetName())
		if old.GetDeletionTimestamp() != nil {
			err.ErrStatus.Message = "object is being deleted: " + err.ErrStatus.Message
		}
		return nil, err
	}
	// The server's own fields are wiped and filled: k8s.io/apiserver v0.37.2,
	// pkg/registry/rest/meta.go.
	o.SetUID(types.UID(string(k) + "-" + strconv.FormatUint(number, 10)))
	o.SetCreationTimestamp(metav1.NewTime(time.Now().Truncate(time.Second)))
	o.SetDeletionTimestamp(nil)
	o.SetDeletionGracePeriodSeconds(nil)
	prepare(o)
	t.store.put(k, o, t.by)
	t.owned(k, o)
	return o, nil
}

// prepare sets what the API server sets in a new object.
func prepare(o Object) {
	switch o := o.(type) {
	case *corev1.Pod:
		// pkg/registry/core/pod/strategy.go (PrepareForCreate), and the defaults of
		// pkg/apis/core/v1/defaults.go.
		o.Status = corev1.PodStatus{Phase: corev1.PodPending}
		if len(o.Spec.SchedulingGates) > 0 {
			setCondition(o, corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonSchedulingGated})
		}
		if o.Spec.TerminationGracePeriodSeconds == nil {
			o.Spec.TerminationGracePeriodSeconds = new(int64(corev1.DefaultTerminationGracePeriodSeconds))
		}
	case *v1alpha1.NodeSlots:
		// k8s.io/apiextensions-apiserver, pkg/registry/customresource/strategy.go: with the
		// subresource there is no status in a new object.
		o.Status = v1alpha1.NodeSlotsStatus{}
	}
}

// update replaces an object; o is given away. Its version, where it has one, must be the
// current one: k8s.io/apiserver v0.37.2, pkg/registry/generic/registry/store.go (Update).
func (t transaction) update(k Kind, o Object) (Object, error) {
	old, err := t.find(k, keyOf(o), o.GetUID())
	if err != nil {
		return nil, err
	}
	if v := o.GetResourceVersion(); v != "" && v != old.GetResourceVersion() {
		return nil, conflict(k, o.GetName())
	}
	return t.replace(k, old, o)
}

// conflict is the error of a write over another version than the current one.
func conflict(k Kind, name string) error {
	return apierrors.NewConflict(k.resource(), name,
		errors.New("the object has been modified; please apply your changes to the latest version and try again"))
}

// change makes a change to an object as it is now. Another UID than that of a patch is an
// invalid change of a field that is fixed: k8s.io/apiserver v0.37.2,
// pkg/registry/rest/update.go (defaultUpdatedObjectInfo has no preconditions without an
// object) and k8s.io/apimachinery v0.37.2, pkg/api/validation/objectmeta.go
// (ValidateObjectMetaAccessorUpdate).
func (t transaction) change(k Kind, key types.NamespacedName, uid types.UID, change func(Object) error) (Object, error) {
	old, err := t.find(k, key, "")
	if err != nil {
		return nil, err
	}
	if uid != "" && old.GetUID() != uid {
		return nil, apierrors.NewInvalid(k.group(), key.Name, field.ErrorList{
			field.Invalid(field.NewPath("metadata", "uid"), uid, "field is immutable"),
		})
	}
	o := old.DeepCopyObject().(Object)
	err = change(o)
	if errors.Is(err, ErrUnchanged) {
		return old, nil
	}
	if err != nil {
		return nil, err
	}
	if v := o.GetResourceVersion(); v != old.GetResourceVersion() {
		return nil, conflict(k, key.Name)
	}
	return t.replace(k, old, o)
}

// replace writes o over old, with the fields that no client can change. What changes
// nothing is not written. k8s.io/apiserver v0.37.2, pkg/registry/rest/update.go
// (BeforeUpdate) and pkg/storage/etcd3/store.go (GuaranteedUpdate).
func (t transaction) replace(k Kind, old, o Object) (Object, error) {
	o.SetUID(old.GetUID())
	o.SetCreationTimestamp(old.GetCreationTimestamp())
	o.SetDeletionTimestamp(old.GetDeletionTimestamp())
	o.SetDeletionGracePeriodSeconds(old.GetDeletionGracePeriodSeconds())
	if was, pod := old.(*corev1.Pod); pod && was.Spec.NodeName != o.(*corev1.Pod).Spec.NodeName {
		// pkg/apis/core/validation/validation.go (ValidatePodUpdate): only a binding sets it.
		return nil, apierrors.NewInvalid(k.group(), o.GetName(), field.ErrorList{
			field.Forbidden(field.NewPath("spec"), "pod updates may not change fields other than some"),
		})
	}
	o.SetResourceVersion(old.GetResourceVersion())
	if same(old, o) {
		return old, nil
	}
	t.store.put(k, o, t.by)
	t.owned(k, o)
	return o, nil
}

// same says that two states of an object are stored alike: the API server compares what it
// writes with what it has read. Protobuf is what it writes, and a tenth of the work of
// equality.Semantic.
func same(a, b Object) bool {
	type stored interface {
		Size() int
		Marshal() ([]byte, error)
	}
	x, ok := a.(stored)
	if !ok {
		return reflect.DeepEqual(a, b)
	}
	y := b.(stored)
	if x.Size() != y.Size() {
		return false
	}
	was, err := x.Marshal()
	if err != nil {
		return false
	}
	is, err := y.Marshal()
	return err == nil && bytes.Equal(was, is)
}
