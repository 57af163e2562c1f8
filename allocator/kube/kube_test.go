package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func TestRefused(t *testing.T) {
	dial := func(e syscall.Errno) error {
		return &url.Error{Op: "Post", URL: "https://api", Err: &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", e)}}
	}
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"no error":                       {nil, false},
		"not leading":                    {ErrNotLeading, true},
		"not leading, in words":          {fmt.Errorf("not bound: %w", ErrNotLeading), true},
		"not found":                      {notFound, true},
		"conflict":                       {conflict, true},
		"conflict, in words":             {fmt.Errorf("not bound: %w", conflict), true},
		"forbidden":                      {apierrors.NewForbidden(anything, "x", errAPI), true},
		"invalid":                        {invalid, true},
		"too many requests":              {apierrors.NewTooManyRequests("later", 1), true},
		"nobody listens":                 {dial(syscall.ECONNREFUSED), true},
		"the connection broke":           {dial(syscall.ECONNRESET), false},
		"the answer broke off":           {io.ErrUnexpectedEOF, false},
		"no answer in time":              {context.DeadlineExceeded, false},
		"the API server gave up waiting": {apierrors.NewTimeoutError("etcd", 1), false},
		"an error inside":                {apierrors.NewInternalError(errAPI), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Refused(c.err); got != c.want {
				t.Errorf("Refused(%v) = %t, want %t", c.err, got, c.want)
			}
		})
	}
}

// podNow is the pod of a name as the API server has it.
type podNow struct {
	Pods
	uid   types.UID
	err   error
	asked int
}

func (p *podNow) Get(context.Context, types.NamespacedName) (*corev1.Pod, error) {
	p.asked++
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: p.uid}}, p.err
}

func TestEnded(t *testing.T) {
	for name, c := range map[string]struct {
		refusal error
		now     podNow
		want    bool
		asks    int
	}{
		"there is no such pod":                    {refusal: notFound, want: true},
		"nothing that says so":                    {refusal: errAPI},
		"a conflict: another write was quicker":   {refusal: conflict, now: podNow{uid: "1"}, asks: 1},
		"a conflict: another pod has the name":    {refusal: conflict, now: podNow{uid: "2"}, asks: 1, want: true},
		"a conflict: nobody has the name":         {refusal: conflict, now: podNow{err: notFound}, asks: 1, want: true},
		"a conflict, and the pod cannot be read":  {refusal: conflict, now: podNow{uid: "2", err: errAPI}, asks: 1},
		"a patch that no pod may get":             {refusal: invalid, now: podNow{uid: "1"}, asks: 1},
		"a patch for the pod that had the name":   {refusal: invalid, now: podNow{uid: "2"}, asks: 1, want: true},
		"a conflict in words: another pod has it": {refusal: errors.Join(errAPI, conflict), now: podNow{uid: "2"}, asks: 1, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Ended(t.Context(), &c.now, c.refusal, iis, "1"); got != c.want || c.now.asked != c.asks {
				t.Errorf("ended: %t, after %d looks; want %t, %d", got, c.now.asked, c.want, c.asks)
			}
		})
	}
}
