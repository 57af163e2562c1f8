package page

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/survey"
	"slotwise.dev/slotwise/allocator/survey/draw"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// cluster has two nodes in two groups, and one that could not be looked at.
func cluster() *survey.Cluster {
	block := survey.Block{Prefix: netip.MustParsePrefix("10.0.0.17/32"), Addresses: []survey.Address{{
		State: survey.Held, Pod: types.NamespacedName{Namespace: "shop", Name: "web-1"},
	}}}
	c := &survey.Cluster{Mode: "prefix", Enabled: true, Nodes: []survey.Node{
		{Name: "win-1", Group: "web", Type: "t3.xlarge", Slots: 14, InUse: 1, Promised: 224, There: 209, Gap: 15, Hang: 15, Blocks: []survey.Block{block}},
		{Name: "win-2", Group: "batch", Type: "m5.large", Slots: 9, Promised: 144, There: 144},
		{Name: "win-3", Group: "batch", Why: `<img src="x">`},
	}, Subnets: []survey.Subnet{{ID: "subnet-a", CIDR: "10.0.0.0/28", Cells: []survey.Cell{{Block: netip.MustParsePrefix("10.0.0.0/28"), Owners: []string{"10.0.0.9 RDS"}}}}}}
	c.Totals = survey.Sum(c.Nodes)
	return c
}

func keys[T any](m map[string]T) []string {
	var all []string
	for k := range m {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

func TestPieces(t *testing.T) {
	p := New(cluster())
	if diff := cmp.Diff([]string{"group/batch", "group/web", "head", "node/win-1", "node/win-2", "node/win-3", "subnet/subnet-a"}, keys(p)); diff != "" {
		t.Errorf("the pieces (-want +got):\n%s", diff)
	}
	for key, want := range map[string]string{
		"head": "15 pods would hang", "node/win-1": "15 would hang", "node/win-2": "144 there",
		"node/win-3": "not looked at: &lt;img", "group/batch": "2 nodes, 1 not looked at",
	} {
		if !strings.Contains(p[key].HTML, want) {
			t.Errorf("%s does not say %q: %s", key, want, p[key].HTML)
		}
	}
	if !strings.Contains(p["node/win-2"].Find, "m5.large") || p["node/win-3"].Gap >= p["node/win-2"].Gap {
		t.Errorf("win-2 is not found by its type, or win-3 does not come last: %+v", p)
	}
}

func TestDiff(t *testing.T) {
	was := Pieces{"same": {HTML: "1"}, "other": {HTML: "1"}, "gone": {HTML: "1"}}
	next := Pieces{"same": {HTML: "1"}, "other": {HTML: "2"}, "new": {HTML: "1"}}
	want := map[string]*Piece{"other": {HTML: "2"}, "new": {HTML: "1"}, "gone": nil}
	if diff := cmp.Diff(want, Diff(was, next)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// stream is what a browser gets of /events.
type stream struct{ lines *bufio.Scanner }

// next is the next message.
func (s stream) next(t *testing.T) map[string]*Piece {
	t.Helper()
	for s.lines.Scan() {
		if data, is := strings.CutPrefix(s.lines.Text(), "data: "); is {
			var m map[string]*Piece
			if err := json.Unmarshal([]byte(data), &m); err != nil {
				t.Fatal(err)
			}
			return m
		}
	}
	t.Fatal("the stream has ended:", s.lines.Err())
	return nil
}

// open opens the stream of a server.
func open(t *testing.T, url string) stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/events", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = answer.Body.Close() })
	if kind := answer.Header.Get("Content-Type"); kind != "text/event-stream" {
		t.Fatalf("the stream is %s", kind)
	}
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20)
	return stream{lines}
}

// get asks for a path, by a name of the host.
func get(path, host string, h *Hub) *httptest.ResponseRecorder {
	request := httptest.NewRequest(http.MethodGet, path, http.NoBody)
	request.Host = host
	answer := httptest.NewRecorder()
	Handler(h).ServeHTTP(answer, request)
	return answer
}

// TestEvents: a browser gets all there is, and then only what is new.
func TestEvents(t *testing.T) {
	h := NewHub()
	server := httptest.NewServer(Handler(h))
	t.Cleanup(server.Close)
	h.Tell(cluster(), now)
	s := open(t, server.URL)
	if all := s.next(t); len(all) != 8 {
		t.Fatalf("the first message has %v, want all pieces and the history", keys(all))
	}
	c := cluster()
	c.Nodes[1].There--
	c.Totals = survey.Sum(c.Nodes)
	h.Tell(c, now.Add(time.Second))
	if diff, want := keys(s.next(t)), []string{"group/batch", "head", "node/win-2"}; !cmp.Equal(diff, want) {
		t.Errorf("after a change of win-2 the message has %v, want %v", diff, want)
	}
	h.Tick(now.Add(2 * time.Second))
	if diff, want := keys(s.next(t)), []string{"history"}; !cmp.Equal(diff, want) {
		t.Errorf("after a tick the message has %v, want %v", diff, want)
	}
	h.Tell(c, now.Add(3*time.Second))
	c.Nodes = c.Nodes[:1]
	c.Totals = survey.Sum(c.Nodes)
	h.Tell(c, now.Add(4*time.Second))
	if diff := s.next(t); diff["node/win-3"] != nil || diff["group/batch"] != nil || len(diff) != 4 {
		t.Errorf("after two nodes have gone the message is %v", keys(diff))
	}
}

// TestHistory keeps what can be told apart, and no more.
func TestHistory(t *testing.T) {
	h := NewHub()
	for i := range 3000 {
		c := cluster()
		c.Totals.There = i
		if i >= 1500 {
			c.Mode = "secondary-ip"
		}
		h.Tell(c, now.Add(time.Duration(i)*200*time.Millisecond))
	}
	most := int(Span/resolution) + 2
	if n := len(h.samples); n > most || n < most-3 {
		t.Errorf("%d samples of 10 minutes are kept, want one a second of the last %s", n, Span)
	}
	if last := h.samples[len(h.samples)-1]; last.There != 2999 {
		t.Errorf("the last sample is %d, want that which was told last", last.There)
	}
	if i := slices.IndexFunc(h.samples, func(s draw.Sample) bool { return s.Mode == "secondary-ip" }); i < 0 || h.samples[i].At != now.Add(1500*200*time.Millisecond) {
		t.Error("the switch of mode is not where it was")
	}
}

func TestHosts(t *testing.T) {
	for host, want := range map[string]int{
		"localhost:8080": http.StatusOK, "127.0.0.1": http.StatusOK, "[::1]:80": http.StatusOK, "": http.StatusForbidden,
		"evil.example": http.StatusForbidden, "evil.example:8080": http.StatusForbidden, "127.0.0.1.evil.example": http.StatusForbidden,
		"localhost.evil.example:80": http.StatusForbidden, "192.168.1.1:80": http.StatusForbidden,
	} {
		if answer := get("/", host, NewHub()); answer.Code != want {
			t.Errorf("a request for host %q is answered with %d, want %d", host, answer.Code, want)
		}
	}
}

// TestDocument: it is one, that loads nothing and runs nothing but its own script.
func TestDocument(t *testing.T) {
	answer := get("/", "localhost", NewHub())
	policy, document := answer.Header().Get("Content-Security-Policy"), answer.Body.String()
	for _, part := range []string{"default-src 'none'", "script-src 'sha256-" + hash(script) + "'", "style-src 'sha256-" + hash(look) + "'"} {
		if !strings.Contains(policy, part) {
			t.Errorf("the policy %q has no %q", policy, part)
		}
	}
	for _, part := range []string{"<script>" + script + "</script>", "<style>" + look + "</style>", `id="hatch"`} {
		if !strings.Contains(document, part) {
			t.Errorf("%.60q is not in the document as it is", part)
		}
	}
	for _, foreign := range []string{"<link rel=\"stylesheet", "src=", "@import", "https://"} {
		if strings.Contains(document, foreign) {
			t.Errorf("the document has %q: it is to load nothing", foreign)
		}
	}
}

func TestDetails(t *testing.T) {
	h := NewHub()
	if answer := get("/node/win-1", "localhost", h); answer.Code != http.StatusServiceUnavailable {
		t.Errorf("before there is a cluster the answer is %d", answer.Code)
	}
	h.Tell(cluster(), now)
	for path, want := range map[string]string{
		"/node/win-1":      `{"slots":14,"blocks":[{"block":"10.0.0.17/32","kind":"secondary-ip","addresses":[{"address":"10.0.0.17","state":"held","pod":"shop/web-1"}]}]}`,
		"/node/win-2":      `{"slots":9,"blocks":[]}`,
		"/node/win-9":      "there is no such thing now",
		"/subnet/subnet-a": `{"grid":{"perLine":64,"pitch":15,"left":86},"cells":[{"block":"10.0.0.0/28","use":"free","owners":["10.0.0.9 RDS"]}]}`,
		"/subnet/subnet-b": "there is no such thing now",
		"/picture.svg":     "",
	} {
		if got := strings.TrimSpace(get(path, "localhost", h).Body.String()); got != want && want != "" || !strings.HasPrefix(got, "<svg") && want == "" {
			t.Errorf("%s is %.300s, want %s", path, got, want)
		}
	}
}

// TestServe: it ends with its context, whoever still listens.
func TestServe(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h, ended := NewHub(), make(chan error)
	h.Tell(cluster(), now)
	go func() { ended <- Serve(ctx, l, h) }()
	s := open(t, "http://"+l.Addr().String())
	s.next(t)
	if m := s.next(t); m["history"] == nil { // of the tick
		t.Errorf("a second later %v has come, want the history", keys(m))
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("it ends with %v", err)
	}
}
