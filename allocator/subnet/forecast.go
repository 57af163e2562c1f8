package subnet

import "fmt"

// Forecast compares the prefixes that a subnet can give with those that its
// nodes will ask for once prefix delegation is on.
type Forecast struct {
	Room int // free /28 blocks
	Now  int // prefixes more than they have, for the pods that run and the warm pools
	Most int // prefixes more than they have, if every node fills all its slots
}

// Fits says that the pods that run now can be moved to prefixes.
func (f Forecast) Fits() bool { return f.Now <= f.Room }

// Verdict says it in words.
func (f Forecast) Verdict() string {
	switch {
	case f.Most <= f.Room:
		return "fits, even if every node fills all its slots"
	case f.Fits():
		return fmt.Sprintf("fits for the pods that run now; if every node fills all its slots, %d prefixes are missing", f.Most-f.Room)
	}
	return fmt.Sprintf("does not fit: %d prefixes are missing for the pods that run now. Free whole /28 blocks, reserve a block of type prefix, or add nodes in another subnet", f.Now-f.Room)
}
