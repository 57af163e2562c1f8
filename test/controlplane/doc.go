// Package controlplane runs a local Kubernetes control plane for tests and for
// the demo: a real etcd, kube-apiserver and kube-scheduler, with nodes and kubelets
// that are played. Nothing of Slotwise comes in here: the package
// knows Kubernetes, and of AWS only the names that the Windows CNI plugin reads.
//
// etcd and kube-apiserver are started by controller-runtime's envtest, the
// others as child processes. Binaries come from test/tools/bin (`make tools`),
// or from KUBEBUILDER_ASSETS where it is set and has them. Everything else lives
// in one folder: data, certificates, kubeconfigs, logs. All processes end with
// the process that started them, even when that one is killed.
//
// What is real: admission (webhooks, ValidatingAdmissionPolicy, ServiceAccount,
// TaintNodesByCondition), RBAC, tokens, binding, the scheduler with its queue.
//
// What is not there: a controller-manager. So there is no Deployment, ReplicaSet
// or Job controller, no garbage collector (owned objects outlive their owners,
// pods outlive their node), no namespace controller (a deleted namespace stays
// Terminating: leave it), no node lifecycle controller, and nobody makes the
// ServiceAccount "default", without which admission refuses pods:
// [Cluster.CreateNamespace] does.
//
// What is played, for Linux nodes by KWOK with the stages of this folder, for
// Windows nodes by a program of our own (test/tools/controlplane/kubelets):
//   - a Node becomes Ready and loses the taint node.kubernetes.io/not-ready.
//     There are no heartbeats and no leases, so a quiet cluster makes no events
//     that could wake the scheduler by accident. Capacity and allocatable keep
//     what others write there.
//   - a pod on a Linux node, and a hostNetwork pod anywhere, runs at once.
//   - any other pod on a Windows node runs once it has the annotation
//     vpc.amazonaws.com/PrivateIPv4Address, and has that address as its podIP.
//     Which it is depends on the node alone, never on what the pod says.
//   - a pod with [StartAfterAnnotation] runs that much later.
//   - a deleted pod vanishes, finalizers permitting, at once or after
//     [StopAfterAnnotation].
//   - a pod with [CompleteAfterAnnotation] succeeds that long after its start.
//
// KWOK runs whatever it gets. Kubelets of Windows nodes admit pods as kubelets do, by
// their own code (k8s.io/kubernetes/pkg/kubelet/lifecycle):
//   - a pod is admitted once, when the watch first shows it bound, against the Node as
//     the kubelet knows it, which is [Kubelets].NodeLag behind, and the pods that it
//     counts. What does not fit has failed for good, reason OutOf<resource>, max-pods
//     (OutOfpods) included.
//   - a pod counts until its sandbox has been torn down: [Kubelets].Teardown after it
//     was told that it has Succeeded or Failed, and for as long as a deleted pod's
//     object is there. A pod whose object was deleted by force does not count.
//   - a kubelet that starts admits all pods that it finds anew; see
//     [Cluster.RestartKubelet] and [Cluster.StartKubelets].
//   - a kubelet goes on when its Node loses its label or is deleted.
package controlplane
