package controllers

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator"
	"slotwise.dev/slotwise/allocator/config"
	"slotwise.dev/slotwise/allocator/events"
)

// fleet notes what it is told, in order.
type fleet struct {
	told    []string
	members []allocator.Member
	states  []config.State
}

func (f *fleet) AddNode(m allocator.Member) {
	f.told, f.members = append(f.told, "add "+m.Name), append(f.members, m)
}

func (f *fleet) RemoveNode(name string)  { f.told = append(f.told, "remove "+name) }
func (f *fleet) NodeSeen(n *corev1.Node) { f.told = append(f.told, "seen "+n.Name) }
func (f *fleet) Apply(s config.State) {
	f.told, f.states = append(f.told, "apply"), append(f.states, s)
}
func (f *fleet) NodeSlotsSeen(n, v string) { f.told = append(f.told, fmt.Sprintf("slots %s %q", n, v)) }

func (f *fleet) want(t *testing.T, told ...string) {
	t.Helper()
	if diff := cmp.Diff(told, f.told); diff != "" {
		t.Errorf("what the fleet was told differs (-want +got):\n%s", diff)
	}
}

// recorder notes events.
type recorder struct{ noted []event }

type event struct {
	On                   corev1.ObjectReference
	Type, Reason, Action string
	Note                 string
}

func (r *recorder) Eventf(on, _ runtime.Object, kind, reason, action, format string, args ...any) {
	r.noted = append(r.noted, event{*on.(*corev1.ObjectReference), kind, reason, action, fmt.Sprintf(format, args...)})
}

func (r *recorder) reporter() events.Reporter { return events.Reporter{Recorder: r} }

func (r *recorder) want(t *testing.T, noted ...event) {
	t.Helper()
	if diff := cmp.Diff(noted, r.noted); diff != "" {
		t.Errorf("the events differ (-want +got):\n%s", diff)
	}
}

var errAPI = errors.New("the API server does not answer")

// failing is an API server that does not answer when it is asked for objects of this name.
type failing struct {
	client.Reader
	name string
}

func (s failing) Get(ctx context.Context, key types.NamespacedName, o client.Object, opts ...client.GetOption) error {
	if key.Name == s.name {
		return errAPI
	}
	return s.Reader.Get(ctx, key, o, opts...)
}
