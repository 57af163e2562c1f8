package controlplane

import (
	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
)

// Quiet has the libraries in this process log nothing: what the processes of the
// control plane have to say is in their logs.
func Quiet() {
	klog.SetLogger(logr.Discard())
	ctrl.SetLogger(logr.Discard())
}
