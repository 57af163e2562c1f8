package allocator

import (
	"errors"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/ledger"
)

var granted = outcome{grant: ledger.Grant{Address: at(0), Kind: ledger.Prefix}}

// begun is a node with one binding that has just begun.
func begun() (*node, types.UID, *binding) {
	_, n := readyNode()
	const uid = "pod"
	b := n.begin(uid, types.NamespacedName{}, make(chan outcome, 1))
	return n, uid, b
}

// A bind that waits for its turn while another one of the pod is found to have come
// to nothing, or while the node goes, has lost its address to whoever asks next.
func TestI1EndedBindingIsNotPosted(t *testing.T) {
	n, uid, b := begun()
	n.drop(uid, b, b.posts, (*ledger.Ledger).Cancel)
	if err := n.prepare(uid, b, granted); !errors.Is(err, errOvertaken) {
		t.Errorf("prepare = %v, want %v", err, errOvertaken)
	}
}

// What the API server said before a post says nothing about it, neither while it is
// under way nor once it was carried out.
func TestI1BindingUnderWayIsNotDropped(t *testing.T) {
	n, uid, b := begun()
	looked := b.posts
	if err := n.prepare(uid, b, granted); err != nil {
		t.Fatal(err)
	}
	n.drop(uid, b, looked, (*ledger.Ledger).Cancel)
	b.open-- // it was carried out
	n.drop(uid, b, looked, (*ledger.Ledger).Cancel)
	if n.bindings[uid] != b {
		t.Error("a look from before the binding was posted has ended it")
	}
}

func TestTellReplacesAnAnswerNotTaken(t *testing.T) {
	_, _, b := begun()
	b.tell(granted)
	b.tell(outcome{err: errFull})
	if o := <-b.answer; !errors.Is(o.err, errFull) {
		t.Errorf("answer = %+v, want the later one", o)
	}
}
