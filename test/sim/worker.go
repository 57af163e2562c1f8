package sim

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"testing"

	"github.com/go-logr/logr"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/klog/v2"

	"slotwise.dev/slotwise/test/sim/history"
)

// A bubble of synctest runs fastest, and most often in the same order, on one processor:
// what it does is a chain of goroutines that wake each other. So histories are played by
// several processes with one each. That also tells a panic, which ends a process, from
// what a campaign does about it.

// workerVariable is the variable that makes a test process a worker: the first seed, and
// the step to the next.
const workerVariable = "SIM_WORKER"

// played is what a worker tells of a history, one line each.
type played struct {
	Seed    uint64
	Verdict Verdict
	// Again says that it was played twice, and Equal that it went the same way.
	Again, Equal bool
}

// Quiet has a process that plays histories keep to itself what the libraries tell.
func Quiet() {
	klog.SetLogger(logr.Discard())
	// One of them knows when the last error was, in whatever bubble.
	utilruntime.ErrorHandlers = nil //nolint:reassign // the list is how a program chooses them
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(400)
}

// work plays one history after the other until its standard output is closed.
func work(t *testing.T, text string, o Options) {
	var seed, step uint64
	if _, err := fmt.Sscanf(text, "%d,%d", &seed, &step); err != nil {
		t.Fatalf("%s=%s: %v", workerVariable, text, err)
	}
	out := json.NewEncoder(os.Stdout)
	for ; ; seed += step {
		// A panic in a goroutine of it ends the process, and its stack tells this label.
		pprof.Do(t.Context(), pprof.Labels("seed", strconv.FormatUint(seed, 10)), func(context.Context) {
			h := history.New(seed, o.Groups...)
			p := played{Seed: seed, Verdict: Run(t, h, o)}
			if seed/step%replays == 0 && len(p.Verdict.Violations) == 0 {
				p.Again, p.Equal = true, Run(t, h, o).Trace == p.Verdict.Trace
			}
			if out.Encode(p) != nil {
				os.Exit(0) // nobody listens any more
			}
		})
	}
}

// hire starts a worker and tells each of what it has played, until ctx ends. Where the
// worker dies, err is what it said last.
func hire(ctx context.Context, seed, step uint64, tell func(played)) error {
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestSim$", "-test.timeout=0")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d,%d", workerVariable, seed, step), "GODEBUG=tracebacklabels=1,"+os.Getenv("GODEBUG"))
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	rest := bufio.NewReaderSize(out, 1<<20)
	for {
		line, err := rest.ReadBytes('\n')
		var p played
		if err == nil && json.Unmarshal(line, &p) == nil {
			tell(p)
			continue
		}
		said.Write(line)
		if err != nil {
			break
		}
	}
	_, _ = io.Copy(&said, rest)
	if err := cmd.Wait(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("%w\n%s", err, said.String())
	}
	return nil
}

var seedLabel = regexp.MustCompile(`"?seed"?: ?"?(\d+)`)

// seedOf finds the seed that the stack of a panic tells.
func seedOf(stack string) (seed uint64, found bool) {
	m := seedLabel.FindStringSubmatch(stack)
	if m == nil {
		return 0, false
	}
	seed, err := strconv.ParseUint(m[1], 10, 64)
	return seed, err == nil
}
