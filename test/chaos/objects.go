package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/api/v1alpha1"
	"slotwise.dev/slotwise/test/controlplane"
	"slotwise.dev/slotwise/test/testenv"
	"slotwise.dev/slotwise/test/witness"
)

// objectTrouble is what somebody does to the objects that Slotwise writes. What they say
// of the addresses that are known to be free nobody changes: that is what a new leader
// goes by, and who may write it can give an address twice.
func (c *chaos) objectTrouble() stream {
	return stream{pause: 6 * time.Second, troubles: []trouble{
		{"NodeSlots deleted", 2, func(ctx context.Context, r *rand.Rand) error {
			o := nodeSlots(nodeName(r.IntN(c.nodes)))
			c.note(witness.Note{Text: "the NodeSlots " + o.GetName() + " are deleted"})
			return client.IgnoreNotFound(c.Kube.Delete(ctx, o))
		}},
		{"NodeSlots changed", 2, func(ctx context.Context, r *rand.Rand) error {
			o := nodeSlots(nodeName(r.IntN(c.nodes)))
			c.note(witness.Note{Text: "the NodeSlots " + o.GetName() + " are changed"})
			patch := client.RawPatch(types.MergePatchType, []byte(`{"status":{"prefixes":5,"inUse":0,"remaining":99}}`))
			return client.IgnoreNotFound(c.Kube.Status().Patch(ctx, o, patch))
		}},
		{"capacity set to 0", 2, func(ctx context.Context, r *rand.Rand) error {
			name := nodeName(r.IntN(c.nodes))
			c.note(witness.Note{Text: "the capacity of " + name + " is set to 0", Node: name})
			patch := fmt.Sprintf(`{"status":{"capacity":{%[1]q:"0"},"allocatable":{%[1]q:"0"}}}`, controlplane.AddressAnnotation)
			_, err := c.Client.CoreV1().Nodes().Patch(ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}, "status")
			return err
		}},
	}}
}

// twins are second Nodes of instances, one at a time.
func (c *chaos) twins() stream {
	return stream{pause: 10 * time.Second, troubles: []trouble{{"a second Node of an instance", 1, c.addTwin}}}
}

func nodeSlots(name string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("NodeSlots"))
	o.SetName(name)
	return o
}

// addTwin has the instance of a node register under another name, too, for a while. The
// pods of the Node that goes live on for some time, until they are collected.
func (c *chaos) addTwin(ctx context.Context, r *rand.Rand) error {
	i := r.IntN(c.nodes)
	name, m := twinName(i), mix[i%len(mix)]
	c.note(witness.Note{Text: name + " registers", Node: name})
	var first corev1.Node
	if err := c.Kube.Get(ctx, client.ObjectKey{Name: nodeName(i)}, &first); err != nil {
		return err
	}
	twin := controlplane.Node{Name: name, ProviderID: first.Spec.ProviderID, InstanceType: m.instanceType, Windows: true}
	testenv.Group(m.subnet)(&twin)
	_, err := c.Cluster.AddNode(ctx, twin)
	sleep(ctx, between(r, 10*time.Second, 30*time.Second))
	return c.removeTwin(ctx, r, name, err)
}

// removeTwin plays the controllers of a cloud and the pod garbage collector.
func (c *chaos) removeTwin(ctx context.Context, r *rand.Rand, name string, added error) error {
	undone, cancel := context.WithTimeout(context.WithoutCancel(ctx), backTimeout)
	defer cancel()
	c.note(witness.Note{Text: name + " is deleted", Node: name})
	c.insist(undone, func(ctx context.Context) error {
		return client.IgnoreNotFound(c.Kube.Delete(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}))
	})
	sleep(ctx, between(r, 0, 10*time.Second))
	c.insist(undone, func(ctx context.Context) error {
		return c.Kube.DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace(namespace),
			client.MatchingFields{"spec.nodeName": name}, client.GracePeriodSeconds(0))
	})
	c.note(witness.Note{Text: "the pods of " + name + " are collected", Node: name})
	return added
}
