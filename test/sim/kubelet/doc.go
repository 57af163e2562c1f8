// Package kubelet plays the kubelets of Windows nodes in the simulation, as far as the API
// server can tell them from real ones. It models Kubernetes 1.37.2; where a rule comes from,
// the file in k8s.io/kubernetes/pkg/kubelet is named beside it. test/tools/controlplane/kubelets
// plays the same, by the kubelet's own code, to a real control plane.
//
// A Machine is what outlives a kubelet: the sandboxes with their pods. [Machine.Run] is one
// life of its kubelet: it registers the Node, admits each pod once, against what its watch of the Node has
// shown it last and the pods that it still counts, and leads those that it admits to their
// end. A pod that does not fit has failed for good, and Options.Rejected is told.
//
// What differs from a real one:
//
//   - A pod that is critical is rejected as any other; a kubelet would kill others for its
//     sake (preemption/preemption.go).
//   - A status is written at the turns of a pod's life only, and Nodes send no heartbeats.
//   - A watch that was cut and begins anew shows what is new in order of names, and not in
//     the order of creation.
//   - Nobody evicts the pods of a node that is not ready (a real one goes after 300 s).
package kubelet
