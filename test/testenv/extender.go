package testenv

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	extenderv1 "k8s.io/kube-scheduler/extender/v1"
)

// Extender speaks to the extender of one replica, whichever leads, as
// kube-scheduler does. Its connection stays open between requests.
type Extender struct {
	http *http.Client
	url  string
}

// Extender makes a client of a replica's extender.
func (e *Env) Extender(ctx context.Context, r *Replica) (*Extender, error) {
	dir, err := e.clientCertificate(ctx)
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		return nil, err
	}
	own, err := tls.LoadX509KeyPair(filepath.Join(dir, corev1.TLSCertKey), filepath.Join(dir, corev1.TLSPrivateKeyKey))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	config := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, Certificates: []tls.Certificate{own}}
	return &Extender{&http.Client{Transport: &http.Transport{TLSClientConfig: config}}, "https://" + loopback(r.ports.extender)}, nil
}

// Bind asks for a pod to be bound to a node, and waits for the answer until ctx
// ends. A pod that is not bound is an error.
func (e *Extender) Bind(ctx context.Context, p *corev1.Pod, node string) error {
	body, err := json.Marshal(extenderv1.ExtenderBindingArgs{PodNamespace: p.Namespace, PodName: p.Name, PodUID: p.UID, Node: node})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url+"/bind", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := e.http.Do(request)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(answer.Body)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		return err
	}
	var result extenderv1.ExtenderBindingResult
	if err := json.Unmarshal(text, &result); err != nil || answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the extender answered %s: %s", answer.Status, text)
	}
	if result.Error != "" {
		return errors.New(result.Error)
	}
	return nil
}
