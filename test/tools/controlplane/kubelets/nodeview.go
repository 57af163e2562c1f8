package main

import (
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// nodeView is a Node as a kubelet knows it, which is some time behind the API
// server.
type nodeView struct {
	lag time.Duration

	mu       sync.Mutex
	versions []nodeVersion // oldest first; never empty once there was one
}

type nodeVersion struct {
	node *corev1.Node
	at   time.Time // when it came from the API server
}

// add takes up a version that came from the API server.
func (v *nodeView) add(n *corev1.Node, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.versions = append(v.versions, nodeVersion{n, now})
	v.prune(now)
}

// at is the version that the kubelet knows. The first that there was it has known
// from the beginning: it made the Node itself.
func (v *nodeView) at(now time.Time) *corev1.Node {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.prune(now)
	return v.versions[0].node
}

// refresh has the kubelet know the newest version, as after a start or a read of
// its own, and returns it.
func (v *nodeView) refresh() *corev1.Node {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.versions = v.versions[len(v.versions)-1:]
	return v.versions[0].node
}

// prune forgets versions that are known to be outdated. v is locked.
func (v *nodeView) prune(now time.Time) {
	for len(v.versions) > 1 && !v.versions[1].at.After(now.Add(-v.lag)) {
		v.versions = v.versions[1:]
	}
}
