// Package advertise writes on Node objects what they have to offer: to the scheduler,
// kubelets and autoscalers a total, to people what remains of it.
//
// kube-scheduler tries pods that were turned away again only when something happens that
// may help them. So this package also wakes it: with each growth of what remains, even
// where the figures that are written are the same as before.
//
// The lock of an Advertiser is held over no call.
package advertise
