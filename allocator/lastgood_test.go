package allocator

import (
	"context"
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/settings"
)

// TestReadKeepsTheLastGoodValue: neither a typing error nor a ConfigMap that cannot be
// read for a moment switches the cluster.
func TestReadKeepsTheLastGoodValue(t *testing.T) {
	a := &Allocator{}
	var problems []settings.Problem
	read := func(r client.Reader) (State, error) {
		problems = nil
		return a.Read(t.Context(), r, ManagedConfigMap, func(_ *corev1.ConfigMap, p settings.Problem) { problems = append(problems, p) })
	}
	saying := func(prefixes string) client.Reader {
		return fake.NewClientBuilder().WithObjects(&corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: ManagedConfigMap.Namespace, Name: ManagedConfigMap.Name},
			Data:       map[string]string{settings.KeyEnabled: "true", settings.KeyPrefixDelegation: prefixes},
		}).Build()
	}

	for _, step := range []struct {
		prefixes string
		want     ledger.Kind
		problems int
	}{
		{"yes please", ledger.SecondaryIP, 1}, // at a start
		{"true", ledger.Prefix, 0},
		{"yes please", ledger.Prefix, 1},
		{"yes, please", ledger.Prefix, 1},
		{"false", ledger.SecondaryIP, 0},
		{"", ledger.SecondaryIP, 1},
	} {
		s, err := read(saying(step.prefixes))
		if err != nil {
			t.Fatal(err)
		}
		if !s.Enabled || s.Mode != step.want || len(problems) != step.problems {
			t.Errorf("%q: enabled %t, mode %s, problems %v; want on, mode %s, %d problems",
				step.prefixes, s.Enabled, s.Mode, problems, step.want, step.problems)
		}
		if _, err := read(unreadable{}); !errors.Is(err, errUnreadable) {
			t.Errorf("the error is %v, want %v", err, errUnreadable)
		}
	}
}

var errUnreadable = errors.New("the API server is away")

type unreadable struct{ client.Reader }

func (unreadable) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	return errUnreadable
}
