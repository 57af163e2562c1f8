package main

import (
	"encoding/json"
	"net/http"

	"slotwise.dev/slotwise/test/ec2sim"
)

// handler serves EC2 itself, and under /sim/ what happened in it.
func handler(sim *ec2sim.Server) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", sim)
	tell(mux, "calls", sim.Calls)
	tell(mux, "counts", sim.Counts)
	tell(mux, "errors", sim.Errors)
	tell(mux, "changes", sim.Changes)
	tell(mux, "interfaces", sim.Interfaces)
	mux.HandleFunc("GET /sim/check", func(w http.ResponseWriter, _ *http.Request) {
		if err := sim.Check(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	return mux
}

// tell serves what look returns as JSON.
func tell[T any](mux *http.ServeMux, name string, look func() T) {
	mux.HandleFunc("GET /sim/"+name, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(look()) // the client is gone
	})
}
