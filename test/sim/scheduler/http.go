package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	extenderv1 "k8s.io/kube-scheduler/extender/v1"

	"slotwise.dev/slotwise/test/sim/apiserver"
)

// DefaultTimeout is the httpTimeout of the manifests.
const DefaultTimeout = 30 * time.Second

// HTTPOptions are what an HTTPExtender is made of.
type HTTPOptions struct {
	Dialer  Dialer        // of the extender. Required.
	Timeout time.Duration // of a request. Default: DefaultTimeout.
	// Latency is that of a request, and again of its answer.
	Latency apiserver.Spread
	Seed    uint64
}

// HTTPExtender asks an extender by HTTP, in one process: the requests and answers are those
// that kube-scheduler would send and get (pkg/scheduler/extender.go HTTPExtender), and the
// handler is the real one.
type HTTPExtender struct {
	o HTTPOptions

	encoded map[types.UID]encoded // of the goroutine that runs attempts

	mu     sync.Mutex // guards all below
	random *rand.Rand
	conn   *conn // the one connection that there is; nil: none
}

// encoded is a version of a pod as JSON. Each is sent several times: for filter and
// prioritize, and again for each attempt that follows without a change of the pod.
type encoded struct {
	pod  *corev1.Pod
	body []byte
}

// maxEncoded is how many are kept at the most.
const maxEncoded = 256

// NewHTTPExtender makes an HTTPExtender without a connection.
func NewHTTPExtender(o HTTPOptions) *HTTPExtender {
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	return &HTTPExtender{o: o, encoded: map[types.UID]encoded{}, random: rand.New(rand.NewPCG(o.Seed, 1))}
}

// Filter is the verb of this name.
func (h *HTTPExtender) Filter(ctx context.Context, p *corev1.Pod, nodes []string) (*extenderv1.ExtenderFilterResult, error) {
	body, err := h.args(p, nodes)
	if err != nil {
		return nil, err
	}
	var result extenderv1.ExtenderFilterResult
	if err := h.send(ctx, "filter", body, &result); err != nil {
		return nil, err
	}
	if result.Error != "" {
		return nil, errors.New(result.Error)
	}
	return &result, nil
}

// Prioritize is the verb of this name.
func (h *HTTPExtender) Prioritize(ctx context.Context, p *corev1.Pod, nodes []string) (list extenderv1.HostPriorityList, err error) {
	body, err := h.args(p, nodes)
	if err != nil {
		return nil, err
	}
	err = h.send(ctx, "prioritize", body, &list)
	return list, err
}

// Bind is the verb of this name.
func (h *HTTPExtender) Bind(ctx context.Context, p *corev1.Pod, node string) error {
	body, err := json.Marshal(extenderv1.ExtenderBindingArgs{PodName: p.Name, PodNamespace: p.Namespace, PodUID: p.UID, Node: node})
	if err != nil {
		return err
	}
	var result extenderv1.ExtenderBindingResult
	if err := h.send(ctx, "bind", body, &result); err != nil {
		return err
	}
	if result.Error != "" {
		return errors.New(result.Error)
	}
	return nil
}

// Preempt is the verb of this name.
func (h *HTTPExtender) Preempt(ctx context.Context, p *corev1.Pod, candidates map[string]*extenderv1.MetaVictims) (map[string]*extenderv1.MetaVictims, error) {
	pod, err := h.encode(p)
	if err != nil {
		return nil, err
	}
	victims, err := json.Marshal(candidates)
	if err != nil {
		return nil, err
	}
	body := append(append([]byte(`{"Pod":`), pod...), `,"NodeNameToVictims":null,"NodeNameToMetaVictims":`...)
	body = append(append(body, victims...), '}')
	var result extenderv1.ExtenderPreemptionResult
	if err := h.send(ctx, "preempt", body, &result); err != nil {
		return nil, err
	}
	return result.NodeNameToMetaVictims, nil
}

// args are an ExtenderArgs with nodeCacheCapable. They are put together by hand, as the pod
// is most of them and the same for filter and prioritize.
func (h *HTTPExtender) args(p *corev1.Pod, nodes []string) ([]byte, error) {
	pod, err := h.encode(p)
	if err != nil {
		return nil, err
	}
	body := make([]byte, 0, len(pod)+64*len(nodes)+64)
	body = append(append(append(body, `{"Pod":`...), pod...), `,"Nodes":null,"NodeNames":[`...)
	for i, name := range nodes {
		if i > 0 {
			body = append(body, ',')
		}
		body = strconv.AppendQuote(body, name) // names of nodes have no letters that JSON escapes
	}
	return append(body, `]}`...), nil
}

func (h *HTTPExtender) encode(p *corev1.Pod) ([]byte, error) {
	if x := h.encoded[p.UID]; x.pod == p {
		return x.body, nil
	}
	body, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	if len(h.encoded) >= maxEncoded {
		clear(h.encoded)
	}
	h.encoded[p.UID] = encoded{p, body}
	return body, nil
}

// send sends a request over the connection, or over another one where that has ended, and
// decodes the answer (extender.go send). A connection is kept from request to request, and
// so is the replica that it leads to, whatever the Service selects by then.
func (h *HTTPExtender) send(ctx context.Context, verb string, body []byte, result any) error {
	ctx, cancel := context.WithTimeout(ctx, h.o.Timeout)
	defer cancel()
	c, there, back, err := h.connect()
	if err != nil {
		return fmt.Errorf("Post %q: %w", verb, err)
	}
	status, text, err := c.send(ctx, verb, body, there, back)
	if err != nil {
		return fmt.Errorf("Post %q: %w", verb, err)
	}
	if status != 200 {
		return fmt.Errorf("failed %s with extender, code %d", verb, status)
	}
	return json.Unmarshal(text, result)
}

// connect returns the connection, and how long the next request and its answer travel.
func (h *HTTPExtender) connect() (c *conn, there, back time.Duration, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if !h.conn.usable(now) {
		replica, err := h.o.Dialer.Dial()
		if err != nil {
			return nil, 0, 0, err
		}
		h.conn = newConn(replica)
	}
	h.conn.use(now)
	return h.conn, h.drawLocked(), h.drawLocked(), nil
}

// drawLocked draws a latency. Caller holds h.mu.
func (h *HTTPExtender) drawLocked() time.Duration {
	l := h.o.Latency
	if l.Max <= l.Min {
		return l.Min
	}
	return l.Min + time.Duration(h.random.Int64N(int64(l.Max-l.Min)))
}
