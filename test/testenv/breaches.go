package testenv

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"slotwise.dev/slotwise/allocator/vpc"
	"slotwise.dev/slotwise/test/ec2sim"
)

// cooldown is how long an address rests after its pod (invariant I2). It is
// written down a second time here on purpose.
const cooldown = 30 * time.Second

// Breaches lists what must never be, of what was seen so far: an address that
// two live pods had at once (I1), one that was given again too soon after its
// pod's end (I2), one that changed while its pod lived (I5), and a pod bound through
// the extender that a kubelet rejected (I9). Of a pod that somebody else has bound
// that is no wonder.
func (o *Observer) Breaches() []string {
	var breaches []string
	byAddress := map[string][]Sighting{}
	for _, s := range o.Pods() {
		if s.Changed != "" {
			breaches = append(breaches, fmt.Sprintf("I5: the address of %s changed from %s to %s", s.Name, s.Address, s.Changed))
		}
		if s.Rejected != "" && s.whole {
			breaches = append(breaches, fmt.Sprintf("I9: a kubelet rejected %s, %s", s.Name, s.Rejected))
		}
		if s.Address != "" {
			address, _, _ := strings.Cut(s.Address, "/")
			byAddress[address] = append(byAddress[address], s)
		}
	}
	for address, holders := range byAddress {
		slices.SortFunc(holders, func(a, b Sighting) int { return cmp.Compare(a.addressed, b.addressed) })
		for i := 1; i < len(holders); i++ {
			if breach := o.succession(holders[i-1], holders[i]); breach != "" {
				breaches = append(breaches, breach+": "+address)
			}
		}
	}
	slices.Sort(breaches)
	return breaches
}

// succession says what is wrong with two pods having one address one after the
// other. Of the times at which the API server may have written the end of the first
// and the address of the next it takes those that are furthest apart.
func (o *Observer) succession(first, next Sighting) string {
	if !first.ended || first.alive >= next.addressed {
		return fmt.Sprintf("I1: %s got the address of %s, which lived", next.Name, first.Name)
	}
	given := next.Addressed // as it was seen
	if at, known := o.clock.NotAfter(next.addressed); known && at.Before(given) {
		given = at
	}
	rest := given.Sub(o.clock.NotBefore(first.alive + 1))
	if rest < cooldown {
		return fmt.Sprintf("I2: %s got the address of %s at most %s after its end", next.Name, first.Name, rest.Round(time.Millisecond))
	}
	return ""
}

// Check compares the cluster with EC2: every live pod's address is on its
// node's interface (I5), no two live pods have the same (I1), and EC2's own
// books are right.
func (e *Env) Check(ctx context.Context) error {
	var pods corev1.PodList
	if err := e.Kube.List(ctx, &pods); err != nil {
		return err
	}
	interfaces := map[string]ec2sim.Interface{} // by instance
	for _, i := range e.EC2.Interfaces() {
		if i.Device == 0 {
			interfaces[i.Instance] = i
		}
	}
	var errs []error
	holders := map[netip.Addr]string{}
	for i := range pods.Items {
		p := &pods.Items[i]
		address, live := liveAddress(p)
		if !live {
			continue
		}
		name := p.Namespace + "/" + p.Name
		if other, taken := holders[address]; taken {
			errs = append(errs, fmt.Errorf("I1: %s and %s both have %s", name, other, address))
		}
		holders[address] = name
		if !holds(interfaces[instanceID(p.Spec.NodeName)], address) {
			errs = append(errs, fmt.Errorf("I5: %s of %s is not on the interface of %s", address, name, p.Spec.NodeName))
		}
	}
	if n := len(errs); n > readable {
		errs = append(errs[:readable], fmt.Errorf("and %d more", n-readable))
	}
	return errors.Join(append(errs, e.EC2.Check())...)
}

// readable is how many errors of one kind somebody wants to read.
const readable = 10

// liveAddress is the address of a pod that has not ended.
func liveAddress(p *corev1.Pod) (netip.Addr, bool) {
	if over(p) {
		return netip.Addr{}, false
	}
	address, err := vpc.ParseAddress(p.Annotations[vpc.Annotation])
	return address.Addr(), err == nil
}

// over says that a pod has ended, though it still exists.
func over(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

func holds(i ec2sim.Interface, address netip.Addr) bool {
	return slices.Contains(i.Addresses, address) ||
		slices.ContainsFunc(i.Prefixes, func(p netip.Prefix) bool { return p.Contains(address) })
}
