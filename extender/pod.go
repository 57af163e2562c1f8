package extender

import (
	"errors"

	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/capacity"
)

// pod is as much of a Pod as the extender looks at.
type pod struct {
	Metadata struct {
		Namespace string    `json:"namespace"`
		Name      string    `json:"name"`
		UID       types.UID `json:"uid"`
	} `json:"metadata"`
	Spec struct {
		HostNetwork    bool        `json:"hostNetwork"`
		Priority       int32       `json:"priority"`
		Containers     []container `json:"containers"`
		InitContainers []container `json:"initContainers"`
	} `json:"spec"`
}

type container struct {
	RestartPolicy string `json:"restartPolicy"`
	Resources     struct {
		Requests struct {
			// A quantity in canonical form, which for 0 to 999 is plain digits.
			Addresses string `json:"vpc.amazonaws.com/PrivateIPv4Address"`
		} `json:"requests"`
	} `json:"resources"`
}

var (
	errNoPod  = errors.New("the request has no Pod")
	errNoUID  = errors.New("the Pod has no metadata.uid")
	errNotOne = errors.New("a pod gets exactly one IPv4 address: " +
		"ask for 1 of vpc.amazonaws.com/PrivateIPv4Address in one container and for none in the others")
)

// asked is what the allocator is asked about.
func (p *pod) asked() capacity.Pod {
	key := types.NamespacedName{Namespace: p.Metadata.Namespace, Name: p.Metadata.Name}
	return capacity.Pod{Key: key, UID: p.Metadata.UID, Priority: p.Spec.Priority}
}

// sidecar says that an init container goes on beside the containers.
func (c *container) sidecar() bool { return c.RestartPolicy == "Always" }

// wantsAddress reports whether the pod is to get an address: whether its containers and
// sidecars together, or any one init container with the sidecars before it, ask for 1.
// It is an error to ask for another figure than 0 or 1. That is how kube-scheduler and
// kubelet count (k8s.io/component-helpers/resource, PodRequests).
func (p *pod) wantsAddress() (bool, error) {
	switch {
	case p == nil:
		return false, errNoPod
	case p.Metadata.UID == "":
		return false, errNoUID
	case p.Spec.HostNetwork:
		return false, nil
	}
	running, starting := 0, 0 // what asks once all run, and at most before
	for i := range p.Spec.InitContainers {
		c := &p.Spec.InitContainers[i]
		n, err := c.addresses()
		if err != nil {
			return false, err
		}
		starting = max(starting, running+n)
		if c.sidecar() {
			running += n
		}
	}
	for i := range p.Spec.Containers {
		n, err := p.Spec.Containers[i].addresses()
		if err != nil {
			return false, err
		}
		running += n
	}
	wanted := max(running, starting)
	if wanted > 1 {
		return false, errNotOne
	}
	return wanted == 1, nil
}

func (c *container) addresses() (int, error) {
	switch c.Resources.Requests.Addresses {
	case "", "0":
		return 0, nil
	case "1":
		return 1, nil
	}
	return 0, errNotOne
}
