package privileges

import (
	"fmt"
	"slices"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"slotwise.dev/slotwise/manifests"
	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/testenv"
)

// permission is one thing that a ServiceAccount may do: a rule of RBAC has many.
type permission struct {
	verb, resource, group string // resource may have a subresource: pods/binding
	name                  string // of the object; empty: any
	namespace             string // of a Role; empty: a ClusterRole's
}

// String is such as "get configmaps amazon-vpc-cni in kube-system".
func (p permission) String() string {
	s := p.verb + " " + p.resource
	if p.group != "" {
		s += "." + p.group
	}
	if p.name != "" {
		s += " " + p.name
	}
	if p.namespace != "" {
		s += " in " + p.namespace
	}
	return s
}

// usedBy says that a request could not have been made without the permission, or
// without a narrower one: what is given for all namespaces has to be used outside of
// Slotwise's own.
func (p permission) usedBy(r request) bool {
	if p.verb != r.verb || p.resource != r.resource || p.group != r.group {
		return false
	}
	if p.name != "" && p.name != r.name {
		return false
	}
	if p.namespace == "" {
		return r.namespace != testenv.Namespace
	}
	return p.namespace == r.namespace
}

// granted lists what an overlay lets a ServiceAccount of Slotwise's namespace do.
// Roles that Kubernetes brings along are left out.
func granted(t *testing.T, overlay, account string) (all []permission) {
	t.Helper()
	objects, err := manifests.Build(overlay)
	check.Must(t, err)
	for _, o := range objects {
		if o.GetKind() != "RoleBinding" && o.GetKind() != "ClusterRoleBinding" {
			continue
		}
		var binding rbacv1.ClusterRoleBinding // a RoleBinding has the same fields
		check.Must(t, runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &binding))
		if !slices.ContainsFunc(binding.Subjects, func(s rbacv1.Subject) bool {
			return s.Kind == rbacv1.ServiceAccountKind && s.Namespace == testenv.Namespace && s.Name == account
		}) {
			continue
		}
		if rules, ours := rulesOf(t, objects, binding.RoleRef, o.GetNamespace()); ours {
			all = append(all, expand(t, rules, o.GetNamespace())...)
		} else if account == slotwise {
			t.Errorf("%s %s gives Slotwise a role of another's, %s", o.GetKind(), o.GetName(), binding.RoleRef.Name)
		}
	}
	return all
}

// rulesOf finds the role that a binding in a namespace means.
func rulesOf(t *testing.T, objects []*unstructured.Unstructured, ref rbacv1.RoleRef, namespace string) (rules []rbacv1.PolicyRule, ours bool) {
	t.Helper()
	if ref.Kind == "ClusterRole" {
		namespace = ""
	}
	for _, o := range objects {
		if o.GetKind() == ref.Kind && o.GetName() == ref.Name && o.GetNamespace() == namespace {
			var role rbacv1.ClusterRole // a Role has the same fields
			check.Must(t, runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &role))
			return role.Rules, true
		}
	}
	return nil, false
}

// expand takes rules apart.
func expand(t *testing.T, rules []rbacv1.PolicyRule, namespace string) (all []permission) {
	t.Helper()
	for _, r := range rules {
		if len(r.NonResourceURLs) > 0 {
			t.Errorf("a rule for paths, %v, is not looked into here", r.NonResourceURLs)
		}
		names := r.ResourceNames
		if len(names) == 0 {
			names = []string{""}
		}
		for _, group := range r.APIGroups {
			for _, resource := range r.Resources {
				for _, verb := range r.Verbs {
					for _, name := range names {
						all = append(all, permission{verb: verb, resource: resource, group: group, name: name, namespace: namespace})
					}
				}
			}
		}
	}
	for _, p := range all {
		if slices.Contains([]string{p.verb, p.resource, p.group}, "*") {
			t.Errorf("a wildcard: %s", p)
		}
	}
	return all
}

// TestSelfManagedMayNoMore: all that Slotwise may in the overlay self-managed it
// may in eks, too, of which TestManage shows that it is needed.
func TestSelfManagedMayNoMore(t *testing.T) {
	eks := granted(t, "overlays/eks", slotwise)
	for _, p := range granted(t, "overlays/self-managed", slotwise) {
		if !slices.Contains(eks, p) {
			t.Errorf("in self-managed, but not in eks: %s", p)
		}
	}
}

// TestPermissionUsedBy: what RBAC has apart is not mixed up here.
func TestPermissionUsedBy(t *testing.T) {
	patch := permission{verb: "patch", resource: "pods"}
	named := permission{verb: "get", resource: "configmaps", name: "amazon-vpc-cni", namespace: "kube-system"}
	for name, c := range map[string]struct {
		permission permission
		request    request
		want       bool
	}{
		"everywhere, elsewhere":        {patch, request{verb: "patch", resource: "pods", namespace: "default"}, true},
		"everywhere, in its namespace": {patch, request{verb: "patch", resource: "pods", namespace: testenv.Namespace}, false},
		"another verb":                 {patch, request{verb: "get", resource: "pods", namespace: "default"}, false},
		"another subresource":          {patch, request{verb: "patch", resource: "pods/status", namespace: "default"}, false},
		"another group":                {patch, request{verb: "patch", resource: "pods", group: "metrics.k8s.io", namespace: "default"}, false},
		"by name":                      {named, request{verb: "get", resource: "configmaps", name: "amazon-vpc-cni", namespace: "kube-system"}, true},
		"another name":                 {named, request{verb: "get", resource: "configmaps", name: "other", namespace: "kube-system"}, false},
		"another namespace":            {named, request{verb: "get", resource: "configmaps", name: "amazon-vpc-cni", namespace: "default"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.permission.usedBy(c.request); got != c.want {
				t.Errorf("%s by %s: %t, want %t", c.permission, c.request, got, c.want)
			}
		})
	}
}

// slotwise is the name of Slotwise's ServiceAccount.
const slotwise = "slotwise"

// user is the name by which the API server knows a ServiceAccount.
func user(account string) string {
	return fmt.Sprintf("system:serviceaccount:%s:%s", testenv.Namespace, account)
}
