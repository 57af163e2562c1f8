package history

import (
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestNew(t *testing.T) {
	acts := map[Act]int{}
	for seed := range uint64(200) {
		h := New(seed)
		if again := New(seed); !reflect.DeepEqual(h, again) {
			t.Fatalf("seed %d gives two histories", seed)
		}
		if !slices.IsSortedFunc(h.Steps, func(a, b Step) int { return int(a.At - b.At) }) {
			t.Errorf("seed %d: not in the order of time", seed)
		}
		for _, s := range h.Steps {
			acts[s.Act]++
			if s.At < 0 || s.At > h.Trouble {
				t.Errorf("seed %d: %s is not within %s", seed, s, h.Trouble)
			}
		}
	}
	for _, row := range table {
		if act := row.make(&maker{r: newRandom(1), h: New(1)}).Act; acts[act] == 0 {
			t.Errorf("%s never happens", act)
		}
	}
}

// A history of some groups of trouble has nothing of the others.
func TestNewOfSome(t *testing.T) {
	for _, s := range New(3, "EC2", "kubelets").Steps {
		switch s.Act {
		case Create, Delete, Force, Replace, Phase, KubeletRestart, EC2Fault, EC2Lag, EC2Rates:
		default:
			t.Errorf("%s is of another group", s)
		}
	}
	if steps := New(3, "none").Steps; slices.ContainsFunc(steps, func(s Step) bool { return s.Act == KubeletRestart }) {
		t.Error("there is trouble in a history of none")
	}
}

func TestWriteAndRead(t *testing.T) {
	h := New(7)
	path := filepath.Join(t.TempDir(), "history.json")
	if err := h.Write(path); err != nil {
		t.Fatal(err)
	}
	got, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, h) {
		t.Errorf("read\n%+v, wrote\n%+v", got, h)
	}
}

// Each step has a line that says what it is about.
func TestString(t *testing.T) {
	for seed := range uint64(50) {
		for _, s := range New(seed).Steps {
			line := s.String()
			if strings.Contains(line, "%!") || strings.Contains(line, "{") || s.On != "" && !strings.Contains(line, s.On) {
				t.Errorf("%+v prints as %q", s, line)
			}
		}
	}
}
