// Package warmpool says how many blocks an ENI should have, so that a new pod gets an
// address without waiting for EC2. It is pure arithmetic: counts in, counts out.
package warmpool

import "slotwise.dev/slotwise/allocator/ledger"

// Defaults of the targets. They are those of AWS's controller
// (https://docs.aws.amazon.com/eks/latest/best-practices/prefix-mode-win.html).
const (
	DefaultWarmIPsForPrefixes     = 1
	DefaultWarmIPsForSecondaryIPs = 3
	DefaultMinimumIPs             = 3
)

// Targets are the warm pool settings as a user wrote them; nil means unset.
type Targets struct {
	WarmPrefixes *int // wholly free prefixes beyond the current need
	WarmIPs      *int // free addresses beyond the current need
	MinimumIPs   *int // addresses on the node, in use and free together
}

// Want is how many blocks of the mode's kind the ENI should have. That can be more than
// the ENI has slots: the plan takes as many as fit.
func (t Targets) Want(c ledger.Counts) int {
	if c.Mode == ledger.Prefix {
		return t.Prefixes(c.InUseOfMode+c.Waiting, c.Occupied+c.Need())
	}
	return t.SecondaryIPs(c.InUseOfMode + c.Waiting)
}

// Prefixes is the target in prefix mode. need is the number of pods on prefixes, those
// that wait for an address included; occupied is how many prefixes they use, those whose
// addresses only cool included.
//
// The need is met in whole prefixes: ceil((need + warm IPs) / 16), at least
// ceil(minimum IPs / 16). Warm prefixes count only where neither of the other
// two is set. A value of zero or less counts as unset.
func (t Targets) Prefixes(need, occupied int) int {
	warmIPs, warmIPsSet := positive(t.WarmIPs, DefaultWarmIPsForPrefixes)
	minimum, minimumSet := positive(t.MinimumIPs, DefaultMinimumIPs)
	if warm, set := positive(t.WarmPrefixes, 0); set && !warmIPsSet && !minimumSet {
		return occupied + warm
	}
	return max(prefixesFor(need+warmIPs), prefixesFor(minimum))
}

// SecondaryIPs is the target in secondary IP mode. need is the number of pods on
// secondary IPs, those that wait for one included. Warm prefixes do not count here; warm
// IPs of 0 mean 1; a negative value means the default.
func (t Targets) SecondaryIPs(need int) int {
	warm := max(1, orDefault(t.WarmIPs, DefaultWarmIPsForSecondaryIPs))
	return max(need+warm, orDefault(t.MinimumIPs, DefaultMinimumIPs))
}

func prefixesFor(addresses int) int { return ledger.Prefix.BlocksFor(addresses) }

// positive is the value where it is set to more than zero, else the fallback.
func positive(v *int, fallback int) (value int, set bool) {
	if v == nil || *v <= 0 {
		return fallback, false
	}
	return *v, true
}

// orDefault is the value where it is set and not negative, else the default.
func orDefault(v *int, fallback int) int {
	if v == nil || *v < 0 {
		return fallback
	}
	return *v
}
