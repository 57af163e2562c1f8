package page

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"slotwise.dev/slotwise/allocator/survey"
	"slotwise.dev/slotwise/allocator/survey/draw"
)

var (
	//go:embed page.html
	markup string
	//go:embed page.css
	style string
	//go:embed page.js
	rows string
	//go:embed pointer.js
	pointer string
)

// document is the page, in one, and look and script are the parts of it that a browser is
// told to trust.
var (
	look     = draw.Style + style
	script   = rows + pointer
	document = strings.NewReplacer("/*style*/", look, "/*script*/", script, "<!--defs-->", draw.Defs).Replace(markup)
)

// heartbeat is how often a silent stream says that it lives.
const heartbeat = 15 * time.Second

// Handler serves the page to a browser on this machine. It answers only where the Host
// header names this machine: a site whose name was made to mean 127.0.0.1 (DNS rebinding)
// would else read the cluster through its visitors' browsers.
func Handler(h *Hub) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(document)) // the browser may have gone
	})
	mux.HandleFunc("GET /events", h.events)
	mux.HandleFunc("GET /node/{name}", func(w http.ResponseWriter, r *http.Request) {
		h.details(w, func(c *survey.Cluster) (any, bool) { return nodeDetails(c, r.PathValue("name")) })
	})
	mux.HandleFunc("GET /subnet/{id}", func(w http.ResponseWriter, r *http.Request) {
		h.details(w, func(c *survey.Cluster) (any, bool) { return subnetDetails(c, r.PathValue("id")) })
	})
	mux.HandleFunc("GET /picture.svg", h.picture)
	return guarded(mux)
}

// guarded refuses what does not come from a page of this server, and says to the browser
// what the page may do: run its own script, and talk to this server.
func guarded(next http.Handler) http.Handler {
	policy := fmt.Sprintf("default-src 'none'; connect-src 'self'; img-src data:; style-src 'sha256-%s'; script-src 'sha256-%s'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'", hash(look), hash(script))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !local(r.Host) {
			http.Error(w, "this page is for browsers on the same machine: open it as http://127.0.0.1:PORT/", http.StatusForbidden)
			return
		}
		head := w.Header()
		head.Set("Content-Security-Policy", policy)
		head.Set("Cross-Origin-Resource-Policy", "same-origin")
		head.Set("X-Content-Type-Options", "nosniff")
		head.Set("Referrer-Policy", "no-referrer")
		head.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// local says that a Host header names this machine, by its loopback addresses or
// localhost. Which port it names does not matter.
func local(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	switch strings.Trim(host, "[]") {
	case "127.0.0.1", "localhost", "::1":
		return true
	}
	return false
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// events sends all pieces, and from then on those that are new, until the browser goes.
func (h *Hub) events(w http.ResponseWriter, r *http.Request) {
	out := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	l, leave := h.listen()
	defer leave()
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		message := []byte(": still here\n\n")
		select {
		case <-r.Context().Done():
			return
		case <-beat.C:
		case <-l.wake:
			diff, err := h.next(l)
			if err != nil {
				return
			}
			if diff == nil {
				continue
			}
			message = append(append([]byte("data: "), diff...), "\n\n"...)
		}
		if _, err := w.Write(message); err != nil {
			return
		}
		if err := out.Flush(); err != nil {
			return
		}
	}
}

// details answers with what find has found, as JSON.
func (h *Hub) details(w http.ResponseWriter, find func(*survey.Cluster) (any, bool)) {
	c := h.current()
	if c == nil {
		http.Error(w, "EC2 has not been looked at yet", http.StatusServiceUnavailable)
		return
	}
	found, is := find(c)
	if !is {
		http.Error(w, "there is no such thing now", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(found) // the browser may have gone
}

// picture is the cluster as one SVG file, to be kept.
func (h *Hub) picture(w http.ResponseWriter, _ *http.Request) {
	c := h.current()
	if c == nil {
		http.Error(w, "EC2 has not been looked at yet", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "image/svg+xml")
	w.Header().Set("Content-Disposition", `attachment; filename="slotwise.svg"`)
	_, _ = w.Write([]byte(draw.Picture(c, time.Now()))) // the browser may have gone
}

// Serve serves the page on a listener until ctx ends.
func Serve(ctx context.Context, l net.Listener, h *Hub) error {
	server := &http.Server{Handler: Handler(h), ReadHeaderTimeout: 5 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // streams have no end of their own
	defer stop()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-tick.C:
				h.Tick(now)
			}
		}
	}()
	if err := server.Serve(l); ctx.Err() == nil {
		return err
	}
	return nil
}
