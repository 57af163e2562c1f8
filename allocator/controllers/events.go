package controllers

import (
	corev1 "k8s.io/api/core/v1"

	"slotwise.dev/slotwise/allocator/config"
	"slotwise.dev/slotwise/allocator/events"
	"slotwise.dev/slotwise/allocator/settings"
)

func unmanaged(r events.Reporter, node string, why error) {
	r.Warn(events.Node(node), events.ReasonUnmanaged, events.ActionDiscover, "Slotwise gives no addresses on this node: "+why.Error())
}

func unreadMode(r events.Reporter, node string, why error) {
	r.Warn(events.Node(node), events.ReasonInvalidSetting, events.ActionConfigure, why.Error())
}

func otherAllocator(r events.Reporter, o *config.OtherAllocator) {
	r.Warn(o.Object, events.ReasonOtherController, events.ActionConfigure, o.Why)
}

func invalidSetting(r events.Reporter, on *corev1.ConfigMap, p settings.Problem) {
	r.Warn(events.ConfigMapField(on, p.Key), events.ReasonInvalidSetting, events.ActionConfigure, p.String())
}
