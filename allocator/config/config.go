// Package config reads what users have set in the cluster: the ConfigMap, and whether
// another allocator is at work.
package config

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/settings"
)

// State is what users have set, and whether something stands in the way. The zero value
// is off.
type State struct {
	settings.Settings
	// Other, where there is one, has Slotwise act as if it were off.
	Other *OtherAllocator
}

// On says that users have Slotwise on, and no other allocator is at work.
func (s State) On() bool { return s.Enabled && s.Other == nil }

// Problem reports a setting of a ConfigMap that cannot be read.
type Problem func(on *corev1.ConfigMap, p settings.Problem)

// Reader reads the state. It is safe for concurrent use.
type Reader struct {
	// ConfigMap is the one that users configure.
	ConfigMap types.NamespacedName
	// Beside says that another allocator is expected, as in mode observe: it does not
	// stand in the way.
	Beside bool

	mu   sync.Mutex        // held from the look at the ConfigMap until last is what it says
	last settings.Settings // read last, which counts where a value cannot be read
}

// Read reads the state. A missing ConfigMap means off; of a value that cannot be read,
// which problem is told of, that from before counts.
func (r *Reader) Read(ctx context.Context, from client.Reader, problem Problem) (State, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, err := ReadSettings(ctx, from, r.ConfigMap, r.last, problem)
	if err != nil {
		return State{}, err
	}
	state := State{Settings: s}
	if !r.Beside {
		if state.Other, err = otherAllocator(ctx, from, r.ConfigMap); err != nil {
			return State{}, err
		}
	}
	r.last = s
	return state, nil
}

// ReadSettings reads the ConfigMap alone. Of a value that cannot be read, that of last
// counts.
func ReadSettings(ctx context.Context, from client.Reader, configMap types.NamespacedName, last settings.Settings, problem Problem) (settings.Settings, error) {
	var cm corev1.ConfigMap
	if err := client.IgnoreNotFound(from.Get(ctx, configMap, &cm)); err != nil {
		return settings.Settings{}, fmt.Errorf("read ConfigMap %s: %w", configMap, err)
	}
	s, problems := settings.Parse(cm.Data, last)
	for _, p := range problems {
		problem(&cm, p)
	}
	return s, nil
}

// Ignore is for a reader of settings that does not report what cannot be read.
func Ignore(*corev1.ConfigMap, settings.Problem) {}
