package privileges

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"testing"

	"slotwise.dev/slotwise/manifests"
	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/testenv"
)

// request is what the audit log tells of one request, or of several alike.
type request struct {
	verb, resource, group, name, namespace string
}

func (r request) String() string {
	return permission(r).String()
}

// entry is a line of the audit log (audit.k8s.io/v1), as far as it is read here.
type entry struct {
	Verb           string
	RequestURI     string
	User           struct{ Username string }
	Impersonated   *struct{ Username string } `json:"impersonatedUser"`
	ObjectRef      *struct{ Resource, Subresource, APIGroup, Name, Namespace string }
	ResponseStatus struct {
		Code    int
		Message string
	}
	Annotations map[string]string
}

func (e entry) request() request {
	o := e.ObjectRef
	r := request{verb: e.Verb, resource: o.Resource, group: o.APIGroup, name: o.Name, namespace: o.Namespace}
	if o.Subresource != "" {
		r.resource += "/" + o.Subresource
	}
	return r
}

// refused says that RBAC or admission has turned a request away.
func (e entry) refused() bool {
	return e.Annotations["authorization.k8s.io/decision"] == "forbid" || e.ResponseStatus.Code == http.StatusForbidden
}

// requests reads the audit log: what a ServiceAccount has asked for, all of which
// has to be allowed.
func requests(t *testing.T, e *testenv.Env, account string) []request {
	t.Helper()
	log, err := os.Open(e.AuditLog())
	check.Must(t, err)
	defer func() { check.Must(t, log.Close()) }()
	made, lines, refused := map[request]bool{}, bufio.NewScanner(log), map[string]bool{}
	for lines.Scan() {
		var e entry
		check.Must(t, json.Unmarshal(lines.Bytes(), &e))
		if e.User.Username != user(account) || e.Impersonated != nil {
			continue
		}
		if text := fmt.Sprintf("%s %s: %s", e.Verb, e.RequestURI, e.ResponseStatus.Message); e.refused() && !refused[text] {
			refused[text] = true
			t.Errorf("%s was refused: %s", account, text)
		}
		if e.ObjectRef != nil {
			made[e.request()] = true
		}
	}
	check.Must(t, lines.Err())
	if len(made) == 0 {
		t.Errorf("the audit log knows nothing of %s", account)
	}
	return slices.Collect(maps.Keys(made))
}

// checkRBAC holds what an overlay grants against the audit log. unused are the
// permissions that need not be used, by their text, with the reason.
func checkRBAC(t *testing.T, e *testenv.Env, overlay, account string, unused map[string]string) {
	t.Helper()
	made := requests(t, e, account)
	known := map[string]bool{}
	for _, p := range granted(t, overlay, account) {
		known[p.String()] = true
		switch used := slices.ContainsFunc(made, p.usedBy); {
		case !used && unused[p.String()] == "":
			t.Errorf("%s: %s may %s, which it never did", overlay, account, p)
		case !used:
			t.Logf("%s: %s did not %s: %s", overlay, account, p, unused[p.String()])
		}
	}
	for p := range unused {
		if !known[p] {
			t.Errorf("%s: %s is excused from %s, which it may not do", overlay, account, p)
		}
	}
}

// checkIAM holds a policy against what EC2 was asked.
func checkIAM(t *testing.T, e *testenv.Env, file string) {
	t.Helper()
	allowed, err := manifests.AllowedActions(file)
	check.Must(t, err)
	var called []string
	for action := range e.EC2.Counts() {
		called = append(called, "ec2:"+action)
	}
	slices.Sort(called)
	if !slices.Equal(allowed, called) {
		t.Errorf("%s allows %v; EC2 was asked for %v", file, allowed, called)
	}
	if refused := e.EC2.Errors(); len(refused) > 0 {
		t.Errorf("EC2 answered %v", refused)
	}
}
