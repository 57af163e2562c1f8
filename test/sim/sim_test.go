package sim

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"

	"slotwise.dev/slotwise/test/sim/history"
)

func init() { Quiet() }

// setting reads a variable of the environment.
func setting[T any](t *testing.T, name string, parse func(string) (T, error), without T) T {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return without
	}
	value, err := parse(text)
	if err != nil {
		t.Fatalf("%s=%s: %v", name, text, err)
	}
	return value
}

// groupsOf reads the groups of trouble, with commas between; none: all.
func groupsOf(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' })
}

func parseSeed(text string) (uint64, error) { return strconv.ParseUint(text, 10, 64) }

// TestSim plays random histories for as long as SIM_DURATION says, from SIM_SEED on or from
// a random seed; without it none, as what it finds is not all fixed yet. SIM_PARALLEL is how many processes do it, SIM_ENOUGH
// after how many failures it ends, and SIM_SHRINK how long the smallest history of the
// first one is looked for. SIM_GROUPS are the groups of trouble, where it is to be some only.
func TestSim(t *testing.T) {
	options := Options{Build: Slotwise, Groups: groupsOf(os.Getenv("SIM_GROUPS"))}
	if worker := os.Getenv(workerVariable); worker != "" {
		work(t, worker, options)
	}
	if os.Getenv("SIM_DURATION") == "" {
		t.Skip("SIM_DURATION says for how long; see make sim")
	}
	c := Campaign{
		Options:  options,
		Duration: setting(t, "SIM_DURATION", time.ParseDuration, time.Minute),
		Seed:     setting(t, "SIM_SEED", parseSeed, rand.Uint64N(1e9)),
		Parallel: setting(t, "SIM_PARALLEL", strconv.Atoi, runtime.NumCPU()),
		Enough:   setting(t, "SIM_ENOUGH", strconv.Atoi, 3),
		Shrink:   setting(t, "SIM_SHRINK", time.ParseDuration, 2*time.Minute),
		Out:      os.Stdout,
	}
	if testing.Short() {
		c.Duration = min(c.Duration, 5*time.Second)
	}
	for _, f := range c.Run(t) {
		t.Errorf("seed %d: %v", f.Seed, f.Verdict.Kinds())
	}
}

// TestRegressions plays the histories that went wrong once.
func TestRegressions(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			h, err := history.Read(file)
			if err != nil {
				t.Fatal(err)
			}
			for range attempts {
				if v := Run(t, h, Options{Build: Slotwise}); len(v.Violations) > 0 {
					t.Fatalf("%s\n%s", v.Violations[0].Text, v.Story)
				}
			}
		})
	}
}

// TestOne plays one history, that of SIM_SEED or the one in the file SIM_HISTORY, and tells
// everything that happens; with SIM_LOG the product does so, too.
func TestOne(t *testing.T) {
	file, seed := os.Getenv("SIM_HISTORY"), os.Getenv("SIM_SEED")
	if file == "" && (seed == "" || os.Getenv("SIM_DURATION") != "") {
		t.Skip("SIM_HISTORY or SIM_SEED says which")
	}
	h := history.New(setting(t, "SIM_SEED", parseSeed, 0), groupsOf(os.Getenv("SIM_GROUPS"))...)
	if file != "" {
		var err error
		if h, err = history.Read(file); err != nil {
			t.Fatal(err)
		}
	}
	fmt.Println(h.Cluster)
	tell := func(at time.Duration, text string) { fmt.Printf("%9.3fs  %s\n", at.Seconds(), text) }
	o := Options{Build: Slotwise, Tell: tell}
	if os.Getenv("SIM_LOG") != "" {
		o.Log = funcr.New(func(prefix, args string) { fmt.Println("           ", prefix, args) }, funcr.Options{LogTimestamp: true})
	}
	began := time.Now()
	v := Run(t, h, o)
	fmt.Printf("%s simulated in %s, trace %x\n", v.Simulated, time.Since(began).Round(time.Millisecond), v.Trace)
	if len(v.Violations) > 0 {
		for _, x := range v.Violations {
			fmt.Printf("%s  %s: %s\n", x.At, x.Kind, x.Text)
		}
		t.Errorf("%d violations: %v\n%s", len(v.Violations), v.Kinds(), v.Story)
	}
}
