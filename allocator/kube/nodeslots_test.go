package kube

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/api/v1alpha1"
)

const (
	slotsPath  = "/apis/slotwise.dev/v1alpha1/nodeslots/win-1"
	nodePath   = "/api/v1/nodes/win-1"
	mergePatch = "application/merge-patch+json"

	// Zeros are written too: a merge patch would leave what stood there before.
	zeros = `{"mode":"","networkInterface":"","subnet":"","slots":0,"secondaryIPs":0,"prefixes":0,"inUse":0,"free":0,"cooling":0,"waiting":0,"remaining":0,"usable":0,"knownFree":null}`
	owner = `"ownerReferences":[{"apiVersion":"v1","kind":"Node","name":"win-1","uid":"node"}]`
)

// The requests of which a Write is made.
var (
	readSlots = request{Do: "GET " + slotsPath}
	readNode  = request{Do: "GET " + nodePath}
	create    = request{
		Do: "POST /apis/slotwise.dev/v1alpha1/nodeslots", Type: "application/json",
		Body: `{"kind":"NodeSlots","apiVersion":"slotwise.dev/v1alpha1","metadata":{"name":"win-1",` + owner + `},"status":` + zeros + `}`,
	}
	own = request{
		Do: "PATCH " + slotsPath, Type: mergePatch,
		Body: `{"metadata":{` + owner + `,"resourceVersion":"10"}}`,
	}
)

// write is the request that writes a status without a figure over a version.
func write(version string) request {
	return request{
		Do: "PATCH " + slotsPath + "/status", Type: mergePatch,
		Body: fmt.Sprintf(`{"metadata":{"resourceVersion":%q},"status":%s}`, version, zeros),
	}
}

// slots is the object of win-1 in a version, owned by the Node of a UID.
func slots(version string, ownedBy types.UID) v1alpha1.NodeSlots {
	o := v1alpha1.NodeSlots{ObjectMeta: metav1.ObjectMeta{Name: "win-1", ResourceVersion: version}}
	if ownedBy != "" {
		o.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: "win-1", UID: ownedBy}}
	}
	return o
}

// slotsServer has an object, or refuses to show it. Who makes it gets version 11, who
// gives it to its Node version 12, and who writes its status version 20.
func slotsServer(object any) *apiServer {
	return &apiServer{answers: map[string]any{
		readSlots.Do:                     object,
		readNode.Do:                      corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "win-1", UID: "node"}},
		create.Do:                        slots("11", "node"),
		own.Do:                           slots("12", "node"),
		"PATCH " + slotsPath + "/status": slots("20", "node"),
	}}
}

func TestWriteNodeSlots(t *testing.T) {
	for name, c := range map[string]struct {
		version string
		object  any
		want    []request
	}{
		"over the version that is known":       {version: "5", object: slots("5", "node"), want: []request{write("5")}},
		"there is none: it is made":            {object: notFound, want: []request{readSlots, readNode, create, write("11")}},
		"a version that has to be read":        {object: slots("10", "node"), want: []request{readSlots, readNode, write("10")}},
		"it is nobody's":                       {object: slots("10", ""), want: []request{readSlots, readNode, own, write("12")}},
		"it is a Node's that was there before": {object: slots("10", "before"), want: []request{readSlots, readNode, own, write("12")}},
	} {
		t.Run(name, func(t *testing.T) {
			s := slotsServer(c.object)
			got, err := NewNodeSlots(s.client(t), leads).Write(t.Context(), "win-1", c.version, v1alpha1.NodeSlotsStatus{})
			if err != nil || got != "20" {
				t.Errorf("wrote version %q, %v; want 20", got, err)
			}
			s.want(t, c.want...)
		})
	}
}

func TestWriteNodeSlotsFigures(t *testing.T) {
	s := slotsServer(nil)
	_, err := NewNodeSlots(s.client(t), leads).Write(t.Context(), "win-1", "5", v1alpha1.NodeSlotsStatus{
		Mode: "prefix", NetworkInterface: "eni-1", Subnet: "subnet-1", Slots: 1, SecondaryIPs: 2, Prefixes: 3, InUse: 4,
		Free: 5, Cooling: 6, Waiting: 7, Remaining: 8, Usable: 9, KnownFree: []string{"10.0.0.0/28"},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.want(t, request{Do: "PATCH " + slotsPath + "/status", Type: mergePatch, Body: `{"metadata":{"resourceVersion":"5"},"status":{` +
		`"mode":"prefix","networkInterface":"eni-1","subnet":"subnet-1","slots":1,"secondaryIPs":2,"prefixes":3,"inUse":4,` +
		`"free":5,"cooling":6,"waiting":7,"remaining":8,"usable":9,"knownFree":["10.0.0.0/28"]}}`})
}

// What the API server refuses, the caller is told; nothing is sent after it.
func TestWriteNodeSlotsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		version string
		object  any
		refused request
		by      error
		want    []request
		is      func(error) bool
	}{
		"another client was quicker": {
			version: "5", refused: write("5"), by: conflict,
			want: []request{write("5")}, is: apierrors.IsConflict,
		},
		"another client has removed it": {
			version: "5", refused: write("5"), by: notFound,
			want: []request{write("5")}, is: apierrors.IsNotFound,
		},
		"another client has changed it before it is given to its Node": {
			object: slots("10", "before"), refused: own, by: conflict,
			want: []request{readSlots, readNode, own}, is: apierrors.IsConflict,
		},
		"its Node has gone": {
			object: notFound, refused: readNode, by: notFound,
			want: []request{readSlots, readNode}, is: apierrors.IsNotFound,
		},
		"it cannot be read": {
			refused: readSlots, by: apierrors.NewInternalError(errAPI),
			want: []request{readSlots}, is: apierrors.IsInternalError,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := slotsServer(c.object)
			s.answers[c.refused.Do] = c.by
			version, err := NewNodeSlots(s.client(t), leads).Write(t.Context(), "win-1", c.version, v1alpha1.NodeSlotsStatus{})
			if !c.is(err) || version != "" {
				t.Errorf("wrote version %q, the error is %v", version, err)
			}
			s.want(t, c.want...)
		})
	}
}

// The lease may be lost between two requests of one Write: it is asked before each that
// changes something.
func TestWriteNodeSlotsAsksTheLease(t *testing.T) {
	for name, c := range map[string]struct {
		version string
		object  any
		held    int // the lease is held for so many questions
		want    []request
	}{
		"before it writes":                   {version: "5", want: nil},
		"before it makes the object":         {object: notFound, want: []request{readSlots, readNode}},
		"after it has made the object":       {object: notFound, held: 1, want: []request{readSlots, readNode, create}},
		"before it gives it to its Node":     {object: slots("10", ""), want: []request{readSlots, readNode}},
		"after it has given it to its Node":  {object: slots("10", ""), held: 1, want: []request{readSlots, readNode, own}},
		"after it has read what stood there": {object: slots("10", "node"), want: []request{readSlots, readNode}},
	} {
		t.Run(name, func(t *testing.T) {
			s, asked := slotsServer(c.object), 0
			held := func() bool { asked++; return asked <= c.held }
			if _, err := NewNodeSlots(s.client(t), held).Write(t.Context(), "win-1", c.version, v1alpha1.NodeSlotsStatus{}); !errors.Is(err, ErrNotLeading) {
				t.Errorf("the error is %v, want %v", err, ErrNotLeading)
			}
			s.want(t, c.want...)
		})
	}
}

func TestReadNodeSlots(t *testing.T) {
	o := slots("10", "node")
	o.Status = v1alpha1.NodeSlotsStatus{Mode: "prefix", NetworkInterface: "eni-1", KnownFree: []string{"10.0.0.0/28"}}
	never := func() bool { return false }
	status, version, err := NewNodeSlots(slotsServer(o).client(t), never).Read(t.Context(), "win-1")
	if err != nil || version != "10" {
		t.Errorf("read version %q, %v; want 10", version, err)
	}
	if diff := cmp.Diff(o.Status, status); diff != "" {
		t.Errorf("status differs (-want +got):\n%s", diff)
	}
	if _, version, err := NewNodeSlots(slotsServer(notFound).client(t), never).Read(t.Context(), "win-1"); !apierrors.IsNotFound(err) || version != "" {
		t.Errorf("read version %q of nothing, the error is %v", version, err)
	}
}

func TestRemoveNodeSlots(t *testing.T) {
	remove := request{
		Do: "DELETE " + slotsPath, Type: "application/json",
		Body: `{"kind":"DeleteOptions","apiVersion":"slotwise.dev/v1alpha1"}`,
	}
	done := metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusSuccess}
	for name, c := range map[string]struct {
		held   bool
		answer any
		want   []request
		is     func(error) bool
	}{
		"it is there":       {held: true, answer: done, want: []request{remove}, is: func(err error) bool { return err == nil }},
		"there is none":     {held: true, answer: notFound, want: []request{remove}, is: func(err error) bool { return err == nil }},
		"it is refused":     {held: true, answer: conflict, want: []request{remove}, is: apierrors.IsConflict},
		"the lease is lost": {is: func(err error) bool { return errors.Is(err, ErrNotLeading) }},
	} {
		t.Run(name, func(t *testing.T) {
			s := &apiServer{answers: map[string]any{remove.Do: c.answer}}
			if err := NewNodeSlots(s.client(t), func() bool { return c.held }).Remove(t.Context(), "win-1"); !c.is(err) {
				t.Errorf("the error is %v", err)
			}
			s.want(t, c.want...)
		})
	}
}
