package faults

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/rand"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/vpc"
	"slotwise.dev/slotwise/test/testenv"
)

// pods creates pods that no scheduler looks at.
func (h *harness) pods(n int, edits ...func(*corev1.Pod)) []*corev1.Pod {
	h.t.Helper()
	pods := make([]*corev1.Pod, n)
	errs := make([]error, n)
	each(n, func(i int) {
		pods[i] = h.newPod(edits...)
		errs[i] = shared.Kube.Create(h.t.Context(), pods[i])
	})
	h.must(errors.Join(errs...))
	return pods
}

// The schedulers that pods name. Neither runs: tests bind the pods themselves.
const (
	ours    = "asks-the-extender"
	another = "asks-nobody"
)

// ofAnother makes a pod one that is bound past the extender.
func ofAnother(p *corev1.Pod) { p.Spec.SchedulerName = another }

// newPod is a Windows pod as the webhook leaves it.
func (h *harness) newPod(edits ...func(*corev1.Pod)) *corev1.Pod {
	p := testenv.Pod(h.namespace, "pod-"+rand.String(8))
	p.Spec.SchedulerName = ours
	one := corev1.ResourceList{vpc.Resource: resource.MustParse("1")}
	p.Spec.Containers[0].Resources = corev1.ResourceRequirements{Requests: one, Limits: one}
	for _, edit := range edits {
		edit(p)
	}
	return p
}

// bindTimeout is how long the extender lets a bind wait for EC2.
const bindTimeout = 25 * time.Second

// bind binds a pod as the extender does, and returns its answer.
func (h *harness) bind(p *corev1.Pod, n node) error {
	ctx, cancel := context.WithTimeout(h.t.Context(), bindTimeout)
	defer cancel()
	return h.Bind(ctx, client.ObjectKeyFromObject(p), p.UID, n.name)
}

// bindAll binds pods side by side, and returns the answers in the pods' order.
func (h *harness) bindAll(pods []*corev1.Pod, n node) []error {
	answers := make([]error, len(pods))
	each(len(pods), func(i int) { answers[i] = h.bind(pods[i], n) })
	return answers
}

// bound creates pods and binds them to a node, which must go well.
func (h *harness) bound(count int, n node) []*corev1.Pod {
	h.t.Helper()
	pods := h.pods(count)
	h.must(errors.Join(h.bindAll(pods, n)...))
	return pods
}

// address is the address that a pod has, as the API server says; invalid: none.
func (h *harness) address(p *corev1.Pod) netip.Addr {
	h.t.Helper()
	h.must(shared.Kube.Get(h.t.Context(), client.ObjectKeyFromObject(p), p))
	a, err := vpc.ParseAddress(p.Annotations[vpc.Annotation])
	if err != nil {
		return netip.Addr{}
	}
	return a.Addr()
}

// delete ends pods at once, as a force deletion does.
func (h *harness) delete(pods ...*corev1.Pod) {
	h.t.Helper()
	errs := make([]error, len(pods))
	each(len(pods), func(i int) {
		errs[i] = shared.Kube.Delete(h.t.Context(), pods[i], client.GracePeriodSeconds(0))
	})
	h.must(errors.Join(errs...))
}

// each calls f with 0 to n-1 side by side, and waits for all.
func each(n int, f func(i int)) {
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { f(i) })
	}
	group.Wait()
}
