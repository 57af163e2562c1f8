package extender

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

func TestNewRefuses(t *testing.T) {
	pki := newPKI(t)
	tests := map[string]struct {
		change func(*Options)
		want   error  // what it is, or
		text   string // what it says
	}{
		"plain HTTP on every interface": {change: func(o *Options) { o.Address = ":0" }, want: errPlain},
		"plain HTTP on all of IPv4":     {change: func(o *Options) { o.Address = "0.0.0.0:0" }, want: errPlain},
		"no certificate": {change: func(o *Options) {
			o.TLS = pki.server()
			o.TLS.GetCertificate = nil
		}, want: errNoCertificate},
		"no client certificate": {change: func(o *Options) {
			o.TLS = pki.server()
			o.TLS.ClientAuth = tls.NoClientCert
		}, want: errNotMutual},
		"any client certificate": {change: func(o *Options) {
			o.TLS = pki.server()
			o.TLS.ClientAuth = tls.RequireAnyClientCert
		}, want: errNotMutual},
		"client certificate if given": {change: func(o *Options) {
			o.TLS = pki.server()
			o.TLS.ClientAuth = tls.VerifyClientCertIfGiven
		}, want: errNotMutual},
		"client certificate of any public CA": {change: func(o *Options) {
			o.TLS = pki.server()
			o.TLS.ClientCAs = nil
		}, want: errNotMutual},
		"no address":       {change: func(o *Options) { o.Address = "nowhere" }, text: "address"},
		"no rooms":         {change: func(o *Options) { o.Rooms = nil }, text: "required"},
		"no binder":        {change: func(o *Options) { o.Binder = nil }, text: "required"},
		"no evictions":     {change: func(o *Options) { o.Evictions = nil }, text: "required"},
		"no gate":          {change: func(o *Options) { o.Serving = nil }, text: "required"},
		"negative timeout": {change: func(o *Options) { o.BindTimeout = -1 }, text: "negative"},
		"negative limit":   {change: func(o *Options) { o.MaxBody = -1 }, text: "negative"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			options := testOptions(t)
			test.change(&options)
			server, err := New(options)
			if err == nil {
				t.Fatalf("listens on %s", server.Addr())
			}
			if test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("error is %q, want %v%s", err, test.want, test.text)
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	options := testOptions(t)
	if options.BindTimeout != 4500*time.Millisecond || options.MaxBody != 8<<20 {
		t.Errorf("BindTimeout %s, MaxBody %d", options.BindTimeout, options.MaxBody)
	}
}

func TestTLS(t *testing.T) {
	pki, stranger := newPKI(t), newPKI(t)
	chosen := func(choose func(*tls.ClientHelloInfo) (*tls.Config, error)) *tls.Config {
		return &tls.Config{GetConfigForClient: choose}
	}
	base := pki.server()
	base.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, nil }
	lax := pki.server()
	lax.ClientAuth = tls.NoClientCert
	laxBase := base.Clone()
	laxBase.ClientAuth = tls.NoClientCert

	tests := map[string]struct {
		server *tls.Config
		client *tls.Config
		want   bool
	}{
		"certificate of our CA":       {server: pki.server(), client: pki.client(), want: true},
		"certificate of another CA":   {server: pki.server(), client: &tls.Config{RootCAs: pki.pool, Certificates: stranger.client().Certificates}},
		"no certificate":              {server: pki.server(), client: &tls.Config{RootCAs: pki.pool}},
		"chosen for the client":       {server: chosen(func(*tls.ClientHelloInfo) (*tls.Config, error) { return pki.server(), nil }), client: pki.client(), want: true},
		"chosen, no certificate":      {server: chosen(func(*tls.ClientHelloInfo) (*tls.Config, error) { return pki.server(), nil }), client: &tls.Config{RootCAs: pki.pool}},
		"chosen, but too lax":         {server: chosen(func(*tls.ClientHelloInfo) (*tls.Config, error) { return lax, nil }), client: pki.client()},
		"chosen, but failed":          {server: chosen(func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, io.EOF }), client: pki.client()},
		"none chosen, so the common":  {server: base, client: pki.client(), want: true},
		"none chosen, common too lax": {server: laxBase, client: pki.client()},
		"none chosen, none common":    {server: chosen(func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, nil }), client: pki.client()},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			options := testOptions(t)
			options.TLS = test.server
			options.ErrorLog = log.New(io.Discard, "", 0)
			server, _ := start(t, options)
			client := newClient(t, test.client)
			response, err := client.Post(bindURL(server), "application/json", strings.NewReader(goodBodies(t)[VerbBind]))
			if (err == nil) != test.want {
				t.Fatalf("answered: %t, want %t (%v)", err == nil, test.want, err)
			}
			if err == nil {
				response.Body.Close()
				if response.ProtoMajor != 2 {
					t.Errorf("spoke %s", response.Proto)
				}
			}
		})
	}
}

// TestNotServingEndsTheConnection: kube-scheduler keeps its connection while it uses it.
// Where that leads to a standby, as the Service still said, the next request has to find
// another replica.
func TestNotServingEndsTheConnection(t *testing.T) {
	for name, serving := range map[string]bool{"serving": true, "not serving": false} {
		t.Run(name, func(t *testing.T) {
			pki := newPKI(t)
			options := testOptions(t)
			options.TLS, options.Serving = pki.server(), func() bool { return serving }
			server, _ := start(t, options)
			client := newClient(t, pki.client())
			var connections []string
			for range 2 {
				trace := &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) {
					connections = append(connections, c.Conn.LocalAddr().String())
				}}
				request, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace),
					http.MethodPost, bindURL(server), strings.NewReader(goodBodies(t)[VerbBind]))
				if err != nil {
					t.Fatal(err)
				}
				response, err := client.Do(request)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, response.Body); err != nil {
					t.Error(err)
				}
				response.Body.Close()
				time.Sleep(50 * time.Millisecond) // the GOAWAY comes after the answer
			}
			if same := connections[0] == connections[1]; same != serving {
				t.Errorf("the second request goes over the same connection: %t, want %t", same, serving)
			}
		})
	}
}

// TestClientThatGoesAway: its bind is told, as nobody waits for it any more.
func TestClientThatGoesAway(t *testing.T) {
	ended := make(chan error, 1)
	waiting := make(chan struct{})
	options := testOptions(t)
	options.Binder = fakeBinder(func(ctx context.Context, _ types.NamespacedName, _ types.UID, _ string) error {
		close(waiting)
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	})
	server, _ := start(t, options)
	ctx, leave := context.WithCancel(t.Context())
	go func() {
		<-waiting
		leave()
	}()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, bindURL(server), strings.NewReader(goodBodies(t)[VerbBind]))
	if err != nil {
		t.Fatal(err)
	}
	if response, err := newClient(t, nil).Do(request); err == nil {
		response.Body.Close()
		t.Errorf("the client was answered %s", response.Status)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the bind was told %v", err)
	}
}

func TestStopFinishesBinds(t *testing.T) {
	pki := newPKI(t)
	for name, secure := range map[string]bool{"HTTP/1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			waiting, release := make(chan struct{}), make(chan struct{})
			options := testOptions(t)
			options.Binder = fakeBinder(func(ctx context.Context, _ types.NamespacedName, _ types.UID, _ string) error {
				close(waiting)
				<-release
				return ctx.Err()
			})
			var config *tls.Config
			if secure {
				options.TLS, config = pki.server(), pki.client()
			}
			server, stop := start(t, options)
			client := newClient(t, config)
			answer := make(chan string, 1)
			go func() { answer <- postOver(client, bindURL(server), goodBodies(t)[VerbBind]) }()
			<-waiting
			stopped := make(chan error, 1)
			go func() { stopped <- stop() }()
			waitUntilRefused(t, server)
			select {
			case err := <-stopped:
				t.Fatalf("stopped with a bind in flight: %v", err)
			default:
			}
			close(release)
			if got := <-answer; got != `200 {"Error":""}` {
				t.Errorf("the bind was answered %s", got)
			}
			if err := <-stopped; err != nil {
				t.Error(err)
			}
		})
	}
}

// TestStopIsBounded: a bind that outlives its timeout does not hold up the stop for ever.
func TestStopIsBounded(t *testing.T) {
	waiting, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	options := testOptions(t)
	options.Binder = fakeBinder(func(context.Context, types.NamespacedName, types.UID, string) error {
		close(waiting)
		<-release
		return nil
	})
	server, stop := start(t, options)
	server.stopTime = 50 * time.Millisecond
	go postOver(newClient(t, nil), bindURL(server), goodBodies(t)[VerbBind])
	<-waiting
	if err := stop(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("stopped with %v", err)
	}
}

// TestBindOutlastsTransfer: the time for a request to come in does not count
// while a bind waits; the timeouts stand behind the bind's own.
func TestBindOutlastsTransfer(t *testing.T) {
	options := testOptions(t)
	options.BindTimeout = time.Minute
	server, stop := start(t, options)
	defer func() { _ = stop() }()
	if http := &server.http; http.ReadTimeout <= time.Minute || http.WriteTimeout <= time.Minute || http.ReadHeaderTimeout == 0 || server.stopTime <= time.Minute {
		t.Errorf("ReadTimeout %s, WriteTimeout %s, ReadHeaderTimeout %s, stop %s",
			http.ReadTimeout, http.WriteTimeout, http.ReadHeaderTimeout, server.stopTime)
	}
}

func TestRunTellsWhyItEnds(t *testing.T) {
	server, err := New(testOptions(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := server.listener.Close(); err != nil {
		t.Fatal(err)
	}
	if err := server.Run(t.Context()); err == nil {
		t.Error("Run ended without an error while nobody had asked it to")
	}
}

// start runs a server; stop ends it, once, and returns what Run did.
func start(t testing.TB, options Options) (server *Server, stop func() error) {
	t.Helper()
	server, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- server.Run(ctx) }()
	t.Cleanup(cancel)
	return server, func() error {
		cancel()
		return <-ran
	}
}

// newClient is a client as kube-scheduler makes it: HTTP/2 where there is TLS.
func newClient(t testing.TB, config *tls.Config) *http.Client {
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 30 * time.Second}
}

func bindURL(server *Server) string {
	if server.plain {
		return "http://" + server.Addr().String() + "/bind"
	}
	return "https://" + server.Addr().String() + "/bind"
}

func postOver(client *http.Client, url, body string) string {
	response, err := client.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSuffix(response.Status, " OK") + " " + string(answer)
}

func waitUntilRefused(t *testing.T, server *Server) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		connection, err := net.Dial("tcp", server.Addr().String())
		if err != nil {
			return
		}
		connection.Close()
	}
	t.Fatal("still takes connections")
}
