package witness

import (
	"context"
	"encoding/json"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Shown is what Slotwise shows of a node: the status of its NodeSlots, in the words that
// people read there. The addresses that it knows to be free are left out: they are
// checked by what a restart makes of them.
type Shown struct {
	Mode             string `json:"mode"`
	NetworkInterface string `json:"networkInterface"`
	Subnet           string `json:"subnet"`
	Slots            int    `json:"slots"`
	SecondaryIPs     int    `json:"secondaryIPs"`
	Prefixes         int    `json:"prefixes"`
	InUse            int    `json:"inUse"`
	Free             int    `json:"free"`
	Cooling          int    `json:"cooling"`
	Waiting          int    `json:"waiting"`
	Remaining        int    `json:"remaining"`
	Usable           int    `json:"usable"`
}

// ReadShown reads it out of a NodeSlots object in JSON.
func ReadShown(object []byte) (name string, shown Shown, err error) {
	var o struct {
		Metadata struct {
			Name string `json:"name"`
		} `json:"metadata"`
		Status Shown `json:"status"`
	}
	err = json.Unmarshal(object, &o)
	return o.Metadata.Name, o.Status, err
}

// Read reads the state of a real cluster.
func Read(ctx context.Context, kube client.Client) (State, error) {
	var nodes corev1.NodeList
	if err := kube.List(ctx, &nodes, client.MatchingLabels{corev1.LabelOSStable: string(corev1.Windows)}); err != nil {
		return State{}, err
	}
	var pods corev1.PodList
	if err := kube.List(ctx, &pods); err != nil {
		return State{}, err
	}
	slots := &unstructured.UnstructuredList{}
	slots.SetGroupVersionKind(schema.GroupVersionKind{Group: "slotwise.dev", Version: "v1alpha1", Kind: "NodeSlotsList"})
	if err := kube.List(ctx, slots); err != nil {
		return State{}, err
	}
	state := State{Nodes: nodes.Items, Pods: pods.Items, Shown: map[string]Shown{}}
	for i := range slots.Items {
		object, err := slots.Items[i].MarshalJSON()
		if err != nil {
			return State{}, err
		}
		name, shown, err := ReadShown(object)
		if err != nil {
			return State{}, err
		}
		state.Shown[name] = shown
	}
	return state, nil
}
