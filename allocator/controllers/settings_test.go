package controllers

import (
	"errors"
	"testing"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"slotwise.dev/slotwise/allocator/config"
	"slotwise.dev/slotwise/allocator/ledger"
)

// saying is a cluster whose ConfigMap says that.
func saying(data map[string]string, beside ...client.Object) client.Reader {
	return fake.NewClientBuilder().WithObjects(beside...).WithObjects(&corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: config.ManagedConfigMap.Namespace, Name: config.ManagedConfigMap.Name, UID: "configmap", ResourceVersion: "7",
		},
		Data: data,
	}).Build()
}

func TestSettings(t *testing.T) {
	old := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{
		Namespace: config.OldController.Namespace, Name: config.OldController.Name, UID: "deployment",
	}}
	for name, c := range map[string]struct {
		from   client.Reader
		on     bool
		mode   ledger.Kind
		events []event
	}{
		"no ConfigMap": {from: fake.NewClientBuilder().Build()},
		"on, in prefix mode": {
			from: saying(map[string]string{"enable-windows-ipam": "true", "enable-windows-prefix-delegation": "true"}),
			on:   true, mode: ledger.Prefix,
		},
		"a value that cannot be read": {
			from: saying(map[string]string{"enable-windows-ipam": "true", "warm-ip-target": "many"}),
			on:   true,
			events: []event{{
				On: corev1.ObjectReference{
					APIVersion: "v1", Kind: "ConfigMap", Namespace: "kube-system", Name: "amazon-vpc-cni",
					UID: "configmap", ResourceVersion: "7", FieldPath: "data.warm-ip-target",
				},
				Type: corev1.EventTypeWarning, Reason: "InvalidSetting", Action: "Configure",
				Note: `warm-ip-target: "many" is not a whole number; the default stays in force`,
			}},
		},
		"another allocator": {
			from: saying(map[string]string{"enable-windows-ipam": "true"}, old),
			events: []event{{
				On: corev1.ObjectReference{
					APIVersion: "apps/v1", Kind: "Deployment", Namespace: "kube-system", Name: "vpc-resource-controller", UID: "deployment",
				},
				Type: corev1.EventTypeWarning, Reason: "OtherControllerPresent", Action: "Configure",
				Note: "The Deployment kube-system/vpc-resource-controller stands: two allocators on one network interface would take each other's addresses, so Slotwise acts as if it were off. Remove it to turn Slotwise on.",
			}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var f fleet
			var r recorder
			s := Settings{
				Reader: c.from, Config: &config.Reader{ConfigMap: config.ManagedConfigMap},
				Fleet: &f, Events: r.reporter(), Log: logr.Discard(),
			}
			if _, err := s.Reconcile(t.Context(), reconcile.Request{}); err != nil {
				t.Fatal(err)
			}
			f.want(t, "apply")
			if got := f.states[0]; got.On() != c.on || got.Mode != c.mode {
				t.Errorf("on: %t, mode %s; want %t, %s", got.On(), got.Mode, c.on, c.mode)
			}
			r.want(t, c.events...)
		})
	}
}

// TestSettingsUnread: settings that could not be read change nothing.
func TestSettingsUnread(t *testing.T) {
	var f fleet
	s := Settings{
		Reader: failing{saying(nil), config.ManagedConfigMap.Name}, Config: &config.Reader{ConfigMap: config.ManagedConfigMap},
		Fleet: &f, Log: logr.Discard(),
	}
	if _, err := s.Reconcile(t.Context(), reconcile.Request{}); !errors.Is(err, errAPI) {
		t.Errorf("the error is %v, want %v", err, errAPI)
	}
	f.want(t)
}

// TestStandby: what a standby has read is the last good value when it takes over.
func TestStandby(t *testing.T) {
	reader := &config.Reader{ConfigMap: config.ManagedConfigMap}
	standby := Standby{Reader: saying(map[string]string{"enable-windows-ipam": "true"}), Config: reader}
	if _, err := standby.Reconcile(t.Context(), reconcile.Request{}); err != nil {
		t.Fatal(err)
	}
	var f fleet
	var r recorder
	leader := Settings{
		Reader: saying(map[string]string{"enable-windows-ipam": "ture"}), Config: reader,
		Fleet: &f, Events: r.reporter(), Log: logr.Discard(),
	}
	if _, err := leader.Reconcile(t.Context(), reconcile.Request{}); err != nil {
		t.Fatal(err)
	}
	if len(f.states) != 1 || !f.states[0].On() {
		t.Errorf("the fleet was told %+v, want it on as before", f.states)
	}
	if len(r.noted) != 1 || r.noted[0].Reason != "InvalidSetting" {
		t.Errorf("events %+v, want one of the value that cannot be read", r.noted)
	}
}

func TestStandbyUnread(t *testing.T) {
	standby := Standby{Reader: failing{saying(nil), config.ManagedConfigMap.Name}, Config: &config.Reader{ConfigMap: config.ManagedConfigMap}}
	if _, err := standby.Reconcile(t.Context(), reconcile.Request{}); !errors.Is(err, errAPI) {
		t.Errorf("the error is %v, want %v", err, errAPI)
	}
}
