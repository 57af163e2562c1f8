package testenv

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"slotwise.dev/slotwise/manifests"
	"slotwise.dev/slotwise/test/controlplane"
)

// install applies the manifests, and takes over the arguments of slotwise. Only
// the webhook's address differs: a URL instead of a Service. It is applied before
// slotwise is there to answer: in here nobody creates pods so early.
func (e *Env) install(ctx context.Context) error {
	objects, err := manifests.Build(e.overlay.kustomization)
	if err != nil {
		return err
	}
	shipped, err := shippedArgs(objects)
	if err != nil {
		return err
	}
	e.args = append(shipped, e.args...)
	webhook, err := manifests.Build(e.overlay.webhook)
	if err != nil {
		return err
	}
	if err := manifests.RedirectWebhook(webhook, "https://"+loopback(e.at.webhook), nil); err != nil {
		return err
	}
	return manifests.Apply(ctx, e.Kube, append(objects, webhook...))
}

// StartScheduler starts a kube-scheduler with the configuration as shipped: only
// the extender's URL and the paths of the certificates differ. One that runs in
// the cluster acts as its ServiceAccount, and has its election.
func (e *Env) StartScheduler(ctx context.Context) error {
	shipped, err := manifests.File(e.overlay.schedulerConfig)
	if err != nil {
		return err
	}
	var config map[string]any
	if err := yaml.Unmarshal(shipped, &config); err != nil {
		return err
	}
	dir, err := e.clientCertificate(ctx)
	if err != nil {
		return err
	}
	extender := config["extenders"].([]any)[0].(map[string]any)
	extender["urlPrefix"] = "https://" + loopback(e.at.extender)
	extender["tlsConfig"] = map[string]any{
		"caFile":   filepath.Join(dir, "ca.crt"),
		"certFile": filepath.Join(dir, corev1.TLSCertKey),
		"keyFile":  filepath.Join(dir, corev1.TLSPrivateKeyKey),
	}
	text, err := yaml.Marshal(config)
	if err != nil {
		return err
	}
	s := controlplane.Scheduler{Config: text}
	if account := e.overlay.schedulerAccount; account != "" {
		s.Name, s.LeaderElection = account, true
		if s.Kubeconfig, err = e.ServiceAccountKubeconfig(ctx, Namespace, account); err != nil {
			return err
		}
	}
	e.Scheduler, err = e.Cluster.StartScheduler(ctx, s)
	return err
}

// clientCertificate copies the scheduler's client certificate out of its
// Secret, as the installation guide has an administrator do.
func (e *Env) clientCertificate(ctx context.Context) (dir string, err error) {
	dir = filepath.Join(e.Dir, "scheduler-client")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	var secret corev1.Secret
	err = wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, timeout, true, func(ctx context.Context) (bool, error) {
		err := e.Kube.Get(ctx, client.ObjectKey{Namespace: Namespace, Name: "slotwise-scheduler-client"}, &secret)
		return len(secret.Data[corev1.TLSCertKey]) > 0, client.IgnoreNotFound(err)
	})
	if err != nil {
		return "", fmt.Errorf("await the scheduler's client certificate: %w", err)
	}
	for _, name := range []string{"ca.crt", corev1.TLSCertKey, corev1.TLSPrivateKeyKey} {
		if err := os.WriteFile(filepath.Join(dir, name), secret.Data[name], 0o600); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// Configure writes the ConfigMap that users configure, all of its data. What the guard
// on settings refuses is written without it: such a value may be older than the guard.
func (e *Env) Configure(ctx context.Context, data map[string]string) error {
	cm := &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Namespace: e.overlay.configMap.Namespace, Name: e.overlay.configMap.Name},
	}
	err := e.Kube.Create(ctx, cm.DeepCopy())
	if client.IgnoreAlreadyExists(err) != nil {
		return err
	}
	if err := e.Kube.Get(ctx, e.overlay.configMap, cm); err != nil {
		return err
	}
	cm.Data = data
	err = e.Kube.Update(ctx, cm)
	if apierrors.IsInvalid(err) {
		err = e.updateUnguarded(ctx, cm)
	}
	if err == nil {
		e.configured(data)
	}
	return err
}

// updateUnguarded takes the guard on settings away for good, and waits until the API
// server no longer goes by it.
func (e *Env) updateUnguarded(ctx context.Context, cm *corev1.ConfigMap) error {
	guard := &admissionregistrationv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "slotwise-settings-guard"}}
	if err := client.IgnoreNotFound(e.Kube.Delete(ctx, guard)); err != nil {
		return err
	}
	return wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, timeout, true, func(ctx context.Context) (bool, error) {
		err := e.Kube.Update(ctx, cm)
		if apierrors.IsInvalid(err) {
			return false, nil
		}
		return true, err
	})
}

// PrefixMode turns prefix delegation on or off.
func (e *Env) PrefixMode(ctx context.Context, on bool) error {
	return e.Configure(ctx, map[string]string{
		"enable-windows-ipam":              "true",
		"enable-windows-prefix-delegation": strconv.FormatBool(on),
	})
}

// local reaches processes of this environment.
var local = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
	DisableKeepAlives: true, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13},
}}

func get(ctx context.Context, url string) error {
	_, err := fetch(ctx, url)
	return err
}

func fetch(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	answer, err := local.Do(request)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(answer.Body)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		return "", err
	}
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s: %s", url, answer.Status, body)
	}
	return string(body), nil
}
