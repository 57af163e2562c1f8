package kubelet

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"slotwise.dev/slotwise/test/sim/apiserver"
)

// Options are what a Machine and its kubelets are made of.
type Options struct {
	// Node is the Node as the kubelet registers it: its name, labels and providerID, and
	// how much of each resource it has, max-pods among them. Required.
	Node *corev1.Node
	// Server is reached through Client. Pods and requests go over that. Required, both.
	Server *apiserver.Server
	Client *apiserver.Client
	// NodeClient is for the watch of the Node, which lags on its own; nil: Client.
	NodeClient *apiserver.Client
	// Seed is that of all that is drawn.
	Seed uint64

	// Ready is how long after its start a kubelet reports its Node ready.
	Ready apiserver.Spread
	// Teardown is how long a sandbox outlives the phase Succeeded or Failed; for so long
	// the pod counts. Deletion is how long the sandbox of a pod that was deleted outlives
	// its containers; its object goes only after that.
	Teardown, Deletion apiserver.Spread

	// Rejected is told of each pod that is not admitted, before its status is written;
	// nil: nobody is. It must not wait.
	Rejected func(Rejection)
}

// Rejection is a pod that was not admitted.
type Rejection struct {
	At      time.Time
	Pod     *corev1.Pod
	Reason  string // OutOf<resource>, say
	Message string
	// Known is the Node as the kubelet knew it; nil: it had never seen it.
	Known *corev1.Node
	// Counted are the pods that it counted.
	Counted []*corev1.Pod
	// Again says that the pod ran: an earlier life had admitted it.
	Again bool
}
