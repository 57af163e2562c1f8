package extender

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"
	extenderv1 "k8s.io/kube-scheduler/extender/v1"
)

func TestBind(t *testing.T) {
	args := extenderv1.ExtenderBindingArgs{PodName: "web", PodNamespace: "shop", PodUID: "uid-of-web", Node: "roomy"}
	without := func(remove func(*extenderv1.ExtenderBindingArgs)) string {
		args := args
		remove(&args)
		return marshal(t, args)
	}
	tests := map[string]struct {
		body      string
		bindErr   error
		wantCall  bool
		wantError string // some of it
	}{
		"bound":                {body: marshal(t, args), wantCall: true},
		"not bound":            {body: marshal(t, args), bindErr: errors.New(`no room on "roomy"`), wantCall: true, wantError: `no room on "roomy"`},
		"not bound, no reason": {body: marshal(t, args), bindErr: errors.New(""), wantCall: true, wantError: "no reason"},
		"no name":              {body: without(func(a *extenderv1.ExtenderBindingArgs) { a.PodName = "" }), wantError: "PodName"},
		"no namespace":         {body: without(func(a *extenderv1.ExtenderBindingArgs) { a.PodNamespace = "" }), wantError: "PodNamespace"},
		"no UID":               {body: without(func(a *extenderv1.ExtenderBindingArgs) { a.PodUID = "" }), wantError: "PodUID"},
		"no node":              {body: without(func(a *extenderv1.ExtenderBindingArgs) { a.Node = "" }), wantError: "Node"},
		"nothing":              {body: ``, wantError: "EOF"},
		"null":                 {body: `null`, wantError: "all needed"},
		"no JSON":              {body: `bind!`, wantError: "invalid character"},
		"text behind":          {body: marshal(t, args) + `{}`, wantError: "after"},
		"a member twice":       {body: `{"Node":"roomy",` + marshal(t, args)[1:], wantError: "duplicate"},
		"a member of another type": {
			body: `{"PodName":["web"],"PodNamespace":"shop","PodUID":"uid","Node":"roomy"}`, wantError: "PodName",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			called := false
			options := testOptions(t)
			options.Binder = fakeBinder(func(_ context.Context, pod types.NamespacedName, uid types.UID, node string) error {
				called = true
				if pod.String() != "shop/web" || uid != "uid-of-web" || node != "roomy" {
					t.Errorf("asked to bind %s (%s) to %s", pod, uid, node)
				}
				return test.bindErr
			})
			status, result := post[extenderv1.ExtenderBindingResult](t, newHandler(options), VerbBind, test.body)
			if status != 200 {
				t.Errorf("status %d", status)
			}
			if called != test.wantCall {
				t.Errorf("the Binder was called: %t", called)
			}
			if (result.Error == "") != (test.wantError == "") || !strings.Contains(result.Error, test.wantError) {
				t.Errorf("Error is %q, want something with %q", result.Error, test.wantError)
			}
		})
	}
}

func TestBindGivesUpInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		options := testOptions(t)
		options.BindTimeout = 3 * time.Second
		options.Binder = fakeBinder(func(ctx context.Context, _ types.NamespacedName, _ types.UID, _ string) error {
			<-ctx.Done()
			return ctx.Err()
		})
		start := time.Now()
		body := `{"PodName":"web","PodNamespace":"shop","PodUID":"uid","Node":"roomy"}`
		_, result := post[extenderv1.ExtenderBindingResult](t, newHandler(options), VerbBind, body)
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("gave up after %s", took)
		}
		if result.Error == "" {
			t.Error("no Error, so kube-scheduler takes the pod for bound")
		}
	})
}
