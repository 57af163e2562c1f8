package config

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/settings"
)

// own is a ConfigMap of Slotwise beside AWS's.
var own = types.NamespacedName{Namespace: "slotwise-system", Name: "slotwise"}

func configMap(name types.NamespacedName, enabled string) client.Object {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name, UID: "configmap"},
		Data:       map[string]string{settings.KeyEnabled: enabled},
	}
}

func oldController() client.Object {
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: OldController.Namespace, Name: OldController.Name, UID: "deployment"}}
}

// TestOn: Slotwise is on where its own ConfigMap says so and no other allocator is at
// work.
func TestOn(t *testing.T) {
	deployment := &corev1.ObjectReference{
		APIVersion: "apps/v1", Kind: "Deployment", Namespace: "kube-system", Name: "vpc-resource-controller", UID: "deployment",
	}
	managed := &corev1.ObjectReference{
		APIVersion: "v1", Kind: "ConfigMap", Namespace: "kube-system", Name: "amazon-vpc-cni", UID: "configmap",
	}
	for name, c := range map[string]struct {
		configMap types.NamespacedName
		beside    bool
		objects   []client.Object
		want      bool
		other     *corev1.ObjectReference // that shows another allocator
	}{
		"nothing there":          {configMap: ManagedConfigMap},
		"on":                     {configMap: ManagedConfigMap, objects: []client.Object{configMap(ManagedConfigMap, "true")}, want: true},
		"off":                    {configMap: ManagedConfigMap, objects: []client.Object{configMap(ManagedConfigMap, "false")}},
		"on, beside the old one": {configMap: ManagedConfigMap, objects: []client.Object{configMap(ManagedConfigMap, "true"), oldController()}, other: deployment},
		"own, on":                {configMap: own, objects: []client.Object{configMap(own, "true")}, want: true},
		"own, AWS's off":         {configMap: own, objects: []client.Object{configMap(own, "true"), configMap(ManagedConfigMap, "false")}, want: true},
		"own, AWS's not readable, which AWS's controller takes for off": {
			configMap: own, objects: []client.Object{configMap(own, "true"), configMap(ManagedConfigMap, "yes")}, want: true,
		},
		"own, AWS's on": {
			configMap: own, objects: []client.Object{configMap(own, "true"), configMap(ManagedConfigMap, "true ")}, other: managed,
		},
		"own, off, AWS's on": {
			configMap: own, objects: []client.Object{configMap(own, "false"), configMap(ManagedConfigMap, "true")}, other: managed,
		},
		"own, AWS's on, old one too": {
			configMap: own, objects: []client.Object{configMap(own, "true"), configMap(ManagedConfigMap, "true"), oldController()}, other: deployment,
		},
		"beside others, on": {
			configMap: own, beside: true, want: true,
			objects: []client.Object{configMap(own, "true"), configMap(ManagedConfigMap, "true"), oldController()},
		},
		"beside others, off": {configMap: own, beside: true, objects: []client.Object{configMap(ManagedConfigMap, "true"), oldController()}},
	} {
		t.Run(name, func(t *testing.T) {
			r := Reader{ConfigMap: c.configMap, Beside: c.beside}
			s, err := r.Read(t.Context(), fake.NewClientBuilder().WithObjects(c.objects...).Build(), Ignore)
			if err != nil {
				t.Fatal(err)
			}
			if s.On() != c.want {
				t.Errorf("on: %t, want %t", s.On(), c.want)
			}
			var other *corev1.ObjectReference
			if s.Other != nil {
				other = s.Other.Object
			}
			if diff := cmp.Diff(c.other, other); diff != "" {
				t.Errorf("the object that shows another allocator differs (-want +got):\n%s", diff)
			}
			switch text := s.Other.String(); {
			case c.other == nil:
				if text != "" {
					t.Errorf("%q is said of no other allocator", text)
				}
			case !strings.Contains(text, c.other.Kind+" "+c.other.Namespace+"/"+c.other.Name), !strings.HasSuffix(text, " to turn Slotwise on."):
				t.Errorf("%q does not name the %s and what to do", text, c.other.Kind)
			}
		})
	}
}

// TestReadKeepsTheLastGoodValue: neither a typing error nor a ConfigMap that cannot be
// read for a moment switches the cluster.
func TestReadKeepsTheLastGoodValue(t *testing.T) {
	r := Reader{ConfigMap: ManagedConfigMap}
	var problems []settings.Problem
	read := func(from client.Reader) (State, error) {
		problems = nil
		return r.Read(t.Context(), from, func(on *corev1.ConfigMap, p settings.Problem) {
			if on.Name != ManagedConfigMap.Name {
				t.Errorf("a problem of ConfigMap %q", on.Name)
			}
			problems = append(problems, p)
		})
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
		for _, what := range []string{"configmap", "deployment"} {
			if _, err := read(unreadable{saying(step.prefixes), what}); !errors.Is(err, errUnreadable) {
				t.Errorf("the error of a %s is %v, want %v", what, err, errUnreadable)
			}
		}
	}
}

// TestUnreadableDoesNotCount: what was read beside something that could not be is not the
// last good value.
func TestUnreadableDoesNotCount(t *testing.T) {
	r := Reader{ConfigMap: ManagedConfigMap}
	on := fake.NewClientBuilder().WithObjects(configMap(ManagedConfigMap, "true")).Build()
	if _, err := r.Read(t.Context(), unreadable{on, "deployment"}, Ignore); !errors.Is(err, errUnreadable) {
		t.Fatalf("the error is %v, want %v", err, errUnreadable)
	}
	typo := fake.NewClientBuilder().WithObjects(configMap(ManagedConfigMap, "ture")).Build()
	if s, err := r.Read(t.Context(), typo, Ignore); err != nil || s.Enabled {
		t.Errorf("enabled: %t, %v; want off, as nothing was in force before", s.Enabled, err)
	}
}

// TestReadManagedConfigMap: the ConfigMap of AWS's controller has to be readable where
// it is not Slotwise's own.
func TestReadManagedConfigMap(t *testing.T) {
	r := Reader{ConfigMap: own}
	from := unreadable{fake.NewClientBuilder().WithObjects(configMap(own, "true")).Build(), ManagedConfigMap.Name}
	if _, err := r.Read(t.Context(), from, Ignore); !errors.Is(err, errUnreadable) {
		t.Errorf("the error is %v, want %v", err, errUnreadable)
	}
}

var errUnreadable = errors.New("the API server is away")

// unreadable is an API server that does not answer what is asked of one kind or name.
type unreadable struct {
	client.Reader
	what string // "configmap", "deployment", or a name
}

func (u unreadable) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	kind := "configmap"
	if _, ok := o.(*appsv1.Deployment); ok {
		kind = "deployment"
	}
	if u.what == kind || u.what == key.Name {
		return errUnreadable
	}
	return u.Reader.Get(ctx, key, o, opts...)
}
