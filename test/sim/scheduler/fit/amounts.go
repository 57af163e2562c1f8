package fit

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/resource"
)

// Amount is so much of one resource.
type Amount struct {
	Resource corev1.ResourceName
	N        int64 // thousandths of a core for cpu, else whole units: bytes, pieces
}

// Amounts are sorted by resource, each of which is there once.
type Amounts []Amount

// Requests are what a pod asks for, its containers and init containers together
// (k8s.io/component-helpers/resource, PodRequests).
func Requests(p *corev1.Pod) Amounts {
	return amounts(resource.PodRequests(p, resource.PodResourcesOptions{}))
}

// Allocatable is what a node offers to pods; with resource pods, how many there may be.
func Allocatable(n *corev1.Node) Amounts { return amounts(n.Status.Allocatable) }

func amounts(list corev1.ResourceList) Amounts {
	all := make(Amounts, 0, len(list))
	for name, quantity := range list {
		n := quantity.Value()
		if name == corev1.ResourceCPU {
			n = quantity.MilliValue()
		}
		all = append(all, Amount{name, n})
	}
	slices.SortFunc(all, func(x, y Amount) int { return cmp.Compare(x.Resource, y.Resource) })
	return all
}

// Get is how much there is of a resource; zero, and false, where it is not among them.
func (a Amounts) Get(name corev1.ResourceName) (n int64, there bool) {
	for _, x := range a {
		if x.Resource == name {
			return x.N, true
		}
	}
	return 0, false
}

// Of is how much there is of a resource.
func (a Amounts) Of(name corev1.ResourceName) int64 {
	n, _ := a.Get(name)
	return n
}

// Plus adds b to a, in place where it can: a is not to be used after it.
func (a Amounts) Plus(b Amounts) Amounts { return a.add(b, 1) }

// Minus takes b from a, in place where it can: a is not to be used after it.
func (a Amounts) Minus(b Amounts) Amounts { return a.add(b, -1) }

func (a Amounts) add(b Amounts, sign int64) Amounts {
	for _, y := range b {
		i, found := slices.BinarySearchFunc(a, y.Resource, func(x Amount, name corev1.ResourceName) int {
			return cmp.Compare(x.Resource, name)
		})
		if !found {
			a = slices.Insert(a, i, Amount{Resource: y.Resource})
		}
		a[i].N += sign * y.N
	}
	return a
}

// Extended says that a resource is none of Kubernetes itself: its name has a domain that
// is not kubernetes.io (pkg/apis/core/v1/helper, IsExtendedResourceName).
func Extended(name corev1.ResourceName) bool {
	return strings.Contains(string(name), "/") && !strings.Contains(string(name), "kubernetes.io/")
}
