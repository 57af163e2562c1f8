package checkup

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Names that manifests give to things.
const (
	deployment      = "slotwise"
	lease           = "slotwise"
	webhook         = "slotwise"
	flowSchema      = "slotwise"
	schedulerSecret = "slotwise-scheduler-client" //nolint:gosec // its name
)

// soon is how long before its end a certificate is to be renewed at the latest.
const soon = 7 * 24 * time.Hour

// ofSlotwise are the checks of what is installed.
var ofSlotwise = []check{
	{"leader", leader},
	{"webhook", hook},
	{"scheduler's certificate", schedulerCertificate},
	{"API priority", priority},
}

// notInstalled is why nothing else of Slotwise is looked at.
const notInstalled = "Slotwise is not installed"

func replicas(ctx context.Context, in Inputs) (Finding, error) {
	var d appsv1.Deployment
	err := in.Kube.Get(ctx, client.ObjectKey{Namespace: in.Namespace, Name: deployment}, &d)
	switch {
	case apierrors.IsNotFound(err):
		return bad("install it as manifests/README.md says, or look with --pre; name its namespace with --namespace", notInstalled)
	case err != nil:
		return Finding{}, err
	case d.Status.AvailableReplicas == 0:
		return bad("see why: kubectl -n "+in.Namespace+" describe pods", "no replica is available")
	case d.Spec.Replicas != nil && d.Status.AvailableReplicas < *d.Spec.Replicas:
		return bad("see why: kubectl -n "+in.Namespace+" describe pods", "%d of %d replicas are available", d.Status.AvailableReplicas, *d.Spec.Replicas)
	}
	return good("%d replicas are available", d.Status.AvailableReplicas)
}

func leader(ctx context.Context, in Inputs) (Finding, error) {
	var l coordinationv1.Lease
	err := in.Kube.Get(ctx, client.ObjectKey{Namespace: in.Namespace, Name: lease}, &l)
	if client.IgnoreNotFound(err) != nil {
		return Finding{}, err
	}
	if err != nil || l.Spec.RenewTime == nil || l.Spec.HolderIdentity == nil || *l.Spec.HolderIdentity == "" {
		return bad("see the logs of the replicas: kubectl -n "+in.Namespace+" logs deployment/"+deployment, "none: nobody gives addresses")
	}
	term := time.Minute
	if s := l.Spec.LeaseDurationSeconds; s != nil {
		term = time.Duration(*s) * time.Second
	}
	if silent := in.Now.Sub(l.Spec.RenewTime.Time); silent > term {
		return bad("see the logs of the replicas: kubectl -n "+in.Namespace+" logs deployment/"+deployment, "%s has not renewed its lease for %s", *l.Spec.HolderIdentity, silent.Round(time.Second))
	}
	return good("%s", *l.Spec.HolderIdentity)
}

func hook(ctx context.Context, in Inputs) (Finding, error) {
	var w admissionregistrationv1.MutatingWebhookConfiguration
	err := in.Kube.Get(ctx, client.ObjectKey{Name: webhook}, &w)
	switch {
	case apierrors.IsNotFound(err):
		return bad("kubectl apply -k manifests/webhook", "it is not there: Windows pods ask for no address, and pass the extender by")
	case err != nil:
		return Finding{}, err
	}
	for i := range w.Webhooks {
		if len(w.Webhooks[i].ClientConfig.CABundle) == 0 {
			return bad("see the logs of the replicas: Slotwise fills it in, or cert-manager.io/inject-ca-from does where --cert-dir is set", "%s has no CA: the API server cannot trust Slotwise", w.Webhooks[i].Name)
		}
		if err := outlives(w.Webhooks[i].ClientConfig.CABundle, in.Now); err != nil {
			return bad("see the logs of the replicas", "the CA of %s %s", w.Webhooks[i].Name, err)
		}
	}
	return good("in place, with its CA")
}

func schedulerCertificate(ctx context.Context, in Inputs) (Finding, error) {
	var s corev1.Secret
	err := in.Kube.Get(ctx, client.ObjectKey{Namespace: in.Namespace, Name: schedulerSecret}, &s)
	switch {
	case apierrors.IsNotFound(err):
		return bad("apply the manifests again, unless --cert-dir is set", "the Secret %s is not there", schedulerSecret)
	case err != nil:
		return Finding{}, err
	}
	if err := outlives(s.Data[corev1.TLSCertKey], in.Now); err != nil {
		return bad("see the logs of the leader, and copy the Secret to kube-scheduler again", "that of %s %s", schedulerSecret, err)
	}
	return good("good for a week at the least")
}

// outlives says what is wrong with certificates that are to be good for some time yet: one
// of them is enough, as a bundle holds old ones beside the new.
func outlives(bundle []byte, now time.Time) error {
	why := errors.New("cannot be read")
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			continue
		}
		if c.NotAfter.After(now.Add(soon)) {
			return nil
		}
		why = fmt.Errorf("ends at %s", c.NotAfter.Format(time.RFC3339))
	}
	return why
}

func priority(ctx context.Context, in Inputs) (Finding, error) {
	var f flowcontrolv1.FlowSchema
	err := in.Kube.Get(ctx, client.ObjectKey{Name: flowSchema}, &f)
	switch {
	case apierrors.IsNotFound(err):
		return bad("apply the manifests again", "the FlowSchema %s is not there: under load the API server serves Slotwise like anybody", flowSchema)
	case err != nil:
		return Finding{}, err
	}
	return good("the FlowSchema is there")
}

// installs is what the manifests create, beside what nobody is refused.
var installs = []authorizationv1.ResourceAttributes{
	{Resource: "namespaces"},
	{Group: "rbac.authorization.k8s.io", Resource: "clusterroles"},
	{Group: "rbac.authorization.k8s.io", Resource: "clusterrolebindings"},
	{Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions"},
	{Group: "admissionregistration.k8s.io", Resource: "mutatingwebhookconfigurations"},
	{Group: "admissionregistration.k8s.io", Resource: "validatingadmissionpolicies"},
	{Group: "flowcontrol.apiserver.k8s.io", Resource: "flowschemas"},
	{Group: "apps", Resource: "deployments", Namespace: "slotwise-system"},
}

// permissions are those of who installs.
func permissions(ctx context.Context, in Inputs) (Finding, error) {
	for _, a := range installs {
		a.Verb = "create"
		review := authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &a}}
		if err := in.Kube.Create(ctx, &review); err != nil {
			return Finding{}, fmt.Errorf("review what you may do: %w", err)
		}
		if !review.Status.Allowed {
			return bad("have somebody with cluster-admin install it", "you may not create %s", a.Resource)
		}
	}
	return good("you may create all that the manifests have")
}
