package e2e

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slotwise.dev/slotwise/certs"
	"slotwise.dev/slotwise/manifests"
	"slotwise.dev/slotwise/test/bed"
	"slotwise.dev/slotwise/test/controlplane"
)

// unused are permissions that an undisturbed run does not need, each with what
// needs it.
var unused = map[permission]string{
	{verb: "create", resource: "pods/eviction"}:                   "two live pods with one address, which must never be",
	{verb: "get", resource: "pods"}:                               "a binding whose answer was lost is looked up",
	{verb: "patch", group: "events.k8s.io", resource: "events"}:   "an event that comes again counts up the first one",
	{verb: "patch", resource: "events", namespace: bed.Namespace}: "as above, for the older kind",
}

// TestLeastPrivilege runs Slotwise with the permissions of manifests/ through all
// of its work, and reads in the API server's audit log that it asked for nothing
// that it may not do, and may do nothing that it did not ask for; and the same for
// EC2.
func TestLeastPrivilege(t *testing.T) {
	t.Parallel()
	s := start(t, bed.Options{Options: controlplane.Options{Audit: true}, Replicas: 2})
	namespace, elsewhere := s.namespace(t), s.NewNamespace(t)
	node := s.nodes(t, "audited", 1, "t3.medium", bed.Subnet)[0]
	must(t, s.CreatePods(t.Context(), namespace, "secondary", 2))
	must(t, s.CreatePods(t.Context(), elsewhere, "by-hand", 1, onNodeByHand(node)))
	must(t, s.AwaitRunning(t.Context(), namespace, 2))
	must(t, s.AwaitRunning(t.Context(), elsewhere, 1))
	must(t, s.PrefixMode(t.Context(), true)) // unassigns what is free, and assigns a prefix
	must(t, s.CreatePods(t.Context(), namespace, "prefix", 2))
	must(t, s.AwaitRunning(t.Context(), namespace, 4))
	s.metricsAreGuarded(t)

	asked, refused := s.asked(t)
	if len(refused) > 0 {
		t.Errorf("refused:\n%s", describe(slices.Collect(maps.Keys(refused))))
	}
	var idle []permission
	for _, p := range s.granted(t) {
		used := false
		for a := range asked {
			used = used || p.covers(a)
		}
		if _, listed := unused[p]; !used && !listed {
			idle = append(idle, p)
		}
	}
	if len(idle) > 0 {
		t.Errorf("granted, but not used:\n%s", describe(idle))
	}
	if got, want := s.actions(), policyActions(t, "iam/manage.json"); !slices.Equal(got, want) {
		t.Errorf("EC2 saw %v, the policy allows %v", got, want)
	}
}

// metricsAreGuarded has a replica serve its metrics beyond loopback, and reads
// them as somebody who may, as somebody who may not, and as nobody.
func (s *system) metricsAreGuarded(t *testing.T) {
	t.Helper()
	leader, err := s.Leader(t.Context())
	must(t, err)
	standby := s.Replicas[slices.IndexFunc(s.Replicas, func(r *bed.Replica) bool { return r != leader })]
	must(t, standby.Stop())
	listener, err := net.Listen("tcp", ":0")
	must(t, err)
	port := listener.Addr().(*net.TCPAddr).Port
	must(t, listener.Close())
	standby.Args = []string{fmt.Sprintf("--metrics-address=:%d", port)}
	must(t, standby.Start(t.Context()))

	reader, stranger := s.metricsReaders(t)
	secret, err := s.Client.CoreV1().Secrets(bed.Namespace).Get(t.Context(), certs.SchedulerSecret, metav1.GetOptions{})
	must(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(secret.Data["ca.crt"])
	prometheus := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{
		RootCAs: roots, ServerName: "slotwise-metrics." + bed.Namespace + ".svc", MinVersion: tls.VersionTLS12,
	}}}
	for token, want := range map[string]int{reader: http.StatusOK, stranger: http.StatusForbidden, "": http.StatusUnauthorized} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("https://localhost:%d/metrics", port), http.NoBody)
		must(t, err)
		if token != "" {
			request.Header.Set("Authorization", "Bearer "+token)
		}
		answer, err := prometheus.Do(request)
		must(t, err)
		must(t, answer.Body.Close())
		if answer.StatusCode != want {
			t.Errorf("metrics were answered with %s, want %d", answer.Status, want)
		}
	}
}

// metricsReaders makes two ServiceAccounts, of which the first may get /metrics,
// and returns their tokens.
func (s *system) metricsReaders(t *testing.T) (reader, stranger string) {
	t.Helper()
	namespace := s.NewNamespace(t)
	role := &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: namespace},
		Rules:      []rbacv1.PolicyRule{{NonResourceURLs: []string{"/metrics"}, Verbs: []string{"get"}}},
	}
	must(t, s.Kube.Create(t.Context(), role))
	must(t, s.Kube.Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: namespace},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: namespace},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: "reader"}},
	}))
	token := func(name string) string {
		must(t, s.Kube.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}))
		r, err := s.Client.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
		must(t, err)
		return r.Status.Token
	}
	return token("reader"), token("stranger")
}

// policyActions are the actions that an IAM policy allows, sorted.
func policyActions(t *testing.T, file string) []string {
	t.Helper()
	text, err := manifests.File(file)
	must(t, err)
	var policy struct{ Statement []struct{ Action []string } }
	must(t, json.Unmarshal(text, &policy))
	var all []string
	for _, statement := range policy.Statement {
		all = append(all, statement.Action...)
	}
	slices.Sort(all)
	return all
}

// slotwiseUser is whom Slotwise acts as.
const slotwiseUser = "system:serviceaccount:" + bed.Namespace + ":slotwise"

// permission is one thing that RBAC can allow: a verb on a resource, in one
// namespace or (empty) in all, on one object or (empty) on any.
type permission struct {
	verb, group, resource, namespace, name string
}

func (p permission) String() string {
	text := p.verb + " " + p.resource
	if p.group != "" {
		text += "." + p.group
	}
	if p.name != "" {
		text += " " + p.name
	}
	if p.namespace != "" {
		text += " in " + p.namespace
	}
	return text
}

// covers says that the permission allows what was asked.
func (p permission) covers(asked permission) bool {
	return p.verb == asked.verb && p.group == asked.group && p.resource == asked.resource &&
		(p.namespace == "" || p.namespace == asked.namespace) && (p.name == "" || p.name == asked.name)
}

// granted lists what the ServiceAccount of Slotwise is allowed, as installed.
func (s *system) granted(t *testing.T) (all []permission) {
	t.Helper()
	rbac := s.Client.RbacV1()
	clusterWide, err := rbac.ClusterRoleBindings().List(t.Context(), metav1.ListOptions{})
	must(t, err)
	for _, b := range clusterWide.Items {
		if isSlotwise(b.Subjects) {
			role, err := rbac.ClusterRoles().Get(t.Context(), b.RoleRef.Name, metav1.GetOptions{})
			must(t, err)
			all = append(all, permissions(role.Rules, "")...)
		}
	}
	inNamespaces, err := rbac.RoleBindings(metav1.NamespaceAll).List(t.Context(), metav1.ListOptions{})
	must(t, err)
	for _, b := range inNamespaces.Items {
		if isSlotwise(b.Subjects) {
			role, err := rbac.Roles(b.Namespace).Get(t.Context(), b.RoleRef.Name, metav1.GetOptions{})
			must(t, err)
			all = append(all, permissions(role.Rules, b.Namespace)...)
		}
	}
	return all
}

func isSlotwise(subjects []rbacv1.Subject) bool {
	return slices.ContainsFunc(subjects, func(s rbacv1.Subject) bool {
		return s.Kind == rbacv1.ServiceAccountKind && s.Namespace == bed.Namespace && s.Name == "slotwise"
	})
}

// permissions takes rules apart.
func permissions(rules []rbacv1.PolicyRule, namespace string) (all []permission) {
	for _, r := range rules {
		names := r.ResourceNames
		if len(names) == 0 {
			names = []string{""}
		}
		for _, verb := range r.Verbs {
			for _, group := range r.APIGroups {
				for _, resource := range r.Resources {
					for _, name := range names {
						all = append(all, permission{verb, group, resource, namespace, name})
					}
				}
			}
		}
	}
	return all
}

// asked reads from the API server's audit log what Slotwise has asked for, and
// what of it was refused.
func (s *system) asked(t *testing.T) (all, refused map[permission]bool) {
	t.Helper()
	file, err := os.Open(s.AuditLog())
	must(t, err)
	defer func() { _ = file.Close() }()
	all, refused = map[permission]bool{}, map[permission]bool{}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e struct {
			User             struct{ Username string }
			ImpersonatedUser *struct{}
			Verb             string
			ObjectRef        *struct{ APIGroup, Resource, Subresource, Namespace, Name string }
			ResponseStatus   struct{ Code int }
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			continue // the line that is being written
		}
		if e.User.Username != slotwiseUser || e.ImpersonatedUser != nil || e.ObjectRef == nil {
			continue
		}
		o := e.ObjectRef
		resource := strings.TrimSuffix(o.Resource+"/"+o.Subresource, "/")
		p := permission{e.Verb, o.APIGroup, resource, o.Namespace, o.Name}
		all[p] = true
		if e.ResponseStatus.Code == http.StatusForbidden || e.ResponseStatus.Code == http.StatusUnauthorized {
			refused[p] = true
		}
	}
	must(t, lines.Err())
	return all, refused
}

// actions are those that EC2 has seen.
func (s *system) actions() []string {
	seen := map[string]bool{}
	for _, c := range s.EC2.Calls() {
		seen["ec2:"+c.Action] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

// describe lists permissions, for messages.
func describe(all []permission) string {
	lines := make([]string, 0, len(all))
	for _, p := range all {
		lines = append(lines, fmt.Sprint("  ", p))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
