package certs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// volume is a folder that changes as the kubelet changes a mounted Secret: the
// files are links into a folder, which is exchanged in one step.
type volume string

func (v volume) write(t *testing.T, files map[string][]byte) {
	t.Helper()
	var err error
	data, before := t.TempDir(), v.data()
	for name, content := range files {
		err = errors.Join(err, os.WriteFile(filepath.Join(data, name), content, 0o600))
		if before == "" {
			err = errors.Join(err, os.Symlink(filepath.Join("..data", name), filepath.Join(string(v), name)))
		}
	}
	link := filepath.Join(string(v), "..data-new")
	err = errors.Join(err, os.Symlink(data, link), os.Rename(link, filepath.Join(string(v), "..data")))
	if before != "" {
		err = errors.Join(err, os.RemoveAll(before))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// data is the folder that the files are in at the moment, "" before the first.
func (v volume) data() string {
	dir, _ := os.Readlink(filepath.Join(string(v), "..data"))
	return dir
}

// runner is as much of a manager as Files needs.
type runner struct {
	manager.Manager
	t *testing.T
}

func (r runner) Add(runnable manager.Runnable) error {
	ctx, stop := context.WithCancel(r.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := runnable.Start(ctx); err != nil {
			r.t.Error(err)
		}
	}()
	r.t.Cleanup(func() { stop(); <-ended })
	return nil
}

func TestFiles(t *testing.T) {
	dir := volume(t.TempDir())
	later := time.Now().Add(time.Hour)
	mount := func(ca authority, end time.Time) {
		cert, key := ca.issue("localhost", serverAuth, end)
		dir.write(t, map[string][]byte{caCert: ca.CertPEM, corev1.TLSCertKey: cert, corev1.TLSPrivateKeyKey: key})
	}
	ca, next := newCA(t), newCA(t)
	mount(ca, later)
	registry := prometheus.NewRegistry()
	source, err := Files(runner{t: t}, string(dir), NewMetrics(registry))
	if err != nil {
		t.Fatal(err)
	}
	<-source.Ready()
	url := serve(t, source.MutualTLS())
	copied := later.Add(30 * time.Minute)
	scheduler := ca.client(SchedulerName, clientAuth, copied)
	if err := get(t, url, ca.CertPEM, scheduler); err != nil {
		t.Fatal(err)
	}
	if err := get(t, url, ca.CertPEM, ca.client("somebody", clientAuth, later)); err == nil {
		t.Fatal("somebody else was let in")
	}
	wantEnd(t, registry, "serving", later)
	wantEnd(t, registry, "scheduler-shown", copied)

	later = later.Add(time.Hour)
	mount(next, later)
	eventually(t, func() error { return get(t, url, next.CertPEM, next.client(SchedulerName, clientAuth, later)) })
	if err := get(t, url, next.CertPEM, scheduler); err == nil {
		t.Error("a client of the CA that has gone is let in")
	}
	wantEnd(t, registry, "serving", later)
	wantEnd(t, registry, "scheduler-shown", later)
}

func wantEnd(t *testing.T, registry *prometheus.Registry, certificate string, want time.Time) {
	t.Helper()
	if got, err := end(registry, certificate); err != nil || got.Unix() != want.Unix() {
		t.Errorf("the metric has %s (%v), want %s", got, err, want)
	}
}

// end is when a certificate ends, as the metrics tell it.
func end(registry *prometheus.Registry, certificate string) (time.Time, error) {
	families, err := registry.Gather()
	if err != nil {
		return time.Time{}, err
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if metric.GetLabel()[0].GetValue() == certificate {
				return time.Unix(int64(metric.GetGauge().GetValue()), 0), nil
			}
		}
	}
	return time.Time{}, fmt.Errorf("there is no metric of the certificate %s", certificate)
}

func TestFilesMissing(t *testing.T) {
	if _, err := Files(runner{t: t}, t.TempDir(), NewMetrics(prometheus.NewRegistry())); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Files of an empty folder: %v, want that they do not exist", err)
	}
}
