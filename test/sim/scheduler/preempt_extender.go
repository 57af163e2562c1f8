package scheduler

import (
	"context"
	"fmt"
	"maps"
	"slices"

	extenderv1 "k8s.io/kube-scheduler/extender/v1"
)

// askExtender has the extender choose among the candidates (preemption.go callExtenders,
// extender.go ProcessPreemption). A candidate without victims, or with a victim that is
// not on its node, is an error of all of them.
func (r *preemptor) askExtender(ctx context.Context, p *podInfo, nodes []*nodeInfo, candidates []candidate) ([]candidate, error) {
	if !r.finder.extension.interested(p.pod) {
		return candidates, nil
	}
	asked := make(map[string]*extenderv1.MetaVictims, len(candidates))
	for _, c := range candidates {
		meta := &extenderv1.MetaVictims{NumPDBViolations: int64(c.violations)}
		for _, v := range c.victims {
			meta.Pods = append(meta.Pods, &extenderv1.MetaPod{UID: string(v.pod.UID)})
		}
		asked[c.node] = meta
	}
	answer, err := r.finder.extension.Preempt(ctx, p.pod, asked)
	if err != nil {
		return nil, err
	}
	var kept []candidate
	for _, node := range slices.Sorted(maps.Keys(answer)) {
		c, err := fromMeta(nodes, node, answer[node])
		if err != nil {
			return nil, err
		}
		kept = append(kept, c)
	}
	return kept, nil
}

func fromMeta(nodes []*nodeInfo, node string, meta *extenderv1.MetaVictims) (candidate, error) {
	i := indexOf(nodes, node)
	if i < 0 {
		return candidate{}, fmt.Errorf("nodeinfo not found for node name %q", node)
	}
	c := candidate{node: node, violations: int(meta.NumPDBViolations)}
	for _, m := range meta.Pods {
		v := slices.IndexFunc(nodes[i].pods, func(v *podInfo) bool { return string(v.pod.UID) == m.UID })
		if v < 0 {
			return c, fmt.Errorf("extender claims to preempt pod (UID: %s) on node: %s, but the pod is not found on that node", m.UID, node)
		}
		c.victims = append(c.victims, nodes[i].pods[v])
	}
	if len(c.victims) == 0 {
		return c, fmt.Errorf("expected at least one victim pod on node %q", node)
	}
	return c, nil
}
