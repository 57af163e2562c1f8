package main

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// serve answers until ctx ends: GET /healthz, once the kubelets serve, and POST
// /restart?node=<name>, which restarts the kubelet of a node.
func serve(ctx context.Context, address string, c *cluster) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if err := c.ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("POST /restart", func(w http.ResponseWriter, r *http.Request) {
		if node := r.FormValue("node"); !c.restart(node) {
			http.Error(w, "no kubelet of node "+node, http.StatusNotFound)
		}
	})
	server := &http.Server{Addr: address, Handler: mux, ReadHeaderTimeout: time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() }) // nobody waits for an answer then
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
