package extender

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/go-json-experiment/json"
	"k8s.io/apimachinery/pkg/types"
	extenderv1 "k8s.io/kube-scheduler/extender/v1"

	"slotwise.dev/slotwise/allocator/capacity"
)

var (
	errNoCandidates = errors.New("the request has neither NodeNameToMetaVictims nor NodeNameToVictims")
	errNoVictimUID  = errors.New("a victim has no UID")
)

// preemptionArgs is an extenderv1.ExtenderPreemptionArgs, without pointers to
// find null. kube-scheduler sends NodeNameToVictims, with whole pods, where
// nodeCacheCapable is false, and the other map where it is true.
type preemptionArgs struct {
	Pod                   *pod
	NodeNameToMetaVictims map[string]metaVictims
	NodeNameToVictims     map[string]podVictims
}

type metaVictims struct {
	Pods             []extenderv1.MetaPod
	NumPDBViolations int64
}

type podVictims struct {
	Pods             []pod
	NumPDBViolations int64
}

// preemptionResult is an extenderv1.ExtenderPreemptionResult.
type preemptionResult struct {
	NodeNameToMetaVictims map[string]metaVictims
}

// preempt answers an ExtenderPreemptionResult: of the candidates in the request the one
// where pods are to be evicted, with those of its victims that have to go, or none. An
// answer without a node stops kube-scheduler, and leaves the pod its nomination. A
// candidate without victims would bring nothing, and kube-scheduler gives up the whole
// preemption when one comes back, so it is left out. For a pod that wants no address all
// others come back.
func (h *handler) preempt(ctx context.Context, x *exchange) error {
	var args preemptionArgs
	if err := json.Unmarshal(x.body.Bytes(), &args); err != nil {
		return badRequest{err}
	}
	wants, err := args.Pod.wantsAddress()
	if err != nil {
		return badRequest{err}
	}
	candidates, err := args.candidates()
	if err != nil {
		return badRequest{err}
	}
	kept := make(map[string]metaVictims, len(candidates))
	var choice []capacity.Candidate
	for node, victims := range candidates {
		uids, err := victims.uids()
		if err != nil {
			return badRequest{err}
		}
		if len(uids) > 0 {
			kept[node] = victims
			choice = append(choice, capacity.Candidate{Node: node, Victims: uids, Violations: victims.NumPDBViolations})
		}
	}
	if wants {
		chosen, ok := h.Evictions.Choose(ctx, args.Pod.asked(), choice)
		maps.DeleteFunc(kept, func(node string, _ metaVictims) bool { return !ok || node != chosen.Node })
		for node, victims := range kept {
			kept[node] = victims.only(chosen.Victims)
		}
	}
	result, err := json.Marshal(preemptionResult{kept})
	if err != nil {
		return err
	}
	x.answer = append(x.answer, result...)
	return nil
}

func (a *preemptionArgs) candidates() (map[string]metaVictims, error) {
	if a.NodeNameToMetaVictims != nil {
		return a.NodeNameToMetaVictims, nil
	}
	if a.NodeNameToVictims == nil {
		return nil, errNoCandidates
	}
	candidates := make(map[string]metaVictims, len(a.NodeNameToVictims))
	for node, victims := range a.NodeNameToVictims {
		meta := metaVictims{NumPDBViolations: victims.NumPDBViolations}
		for i := range victims.Pods {
			meta.Pods = append(meta.Pods, extenderv1.MetaPod{UID: string(victims.Pods[i].Metadata.UID)})
		}
		candidates[node] = meta
	}
	return candidates, nil
}

// only are the victims that are among these.
func (v metaVictims) only(uids []types.UID) metaVictims {
	v.Pods = slices.DeleteFunc(slices.Clone(v.Pods), func(p extenderv1.MetaPod) bool { return !slices.Contains(uids, types.UID(p.UID)) })
	return v
}

func (v metaVictims) uids() ([]types.UID, error) {
	uids := make([]types.UID, 0, len(v.Pods))
	for _, victim := range v.Pods {
		if victim.UID == "" {
			return nil, errNoVictimUID
		}
		uids = append(uids, types.UID(victim.UID))
	}
	return uids, nil
}
