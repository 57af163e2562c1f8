// Command breaks shows that the simulation finds faults: it puts back, one by one, those
// that are listed in its folder list, each a substitution in the source, and lets the
// simulation look for it for a minute. The tree stays as it is: the go command builds with
// an overlay.
//
// First it lets the simulation run on the code as it is, which must find nothing: else what
// it finds later shows nothing. It prints a table of the breaks with what found each and
// after how long. It is an error if one is not found, or if its text is no longer in the
// source.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// options are what is asked for.
type options struct {
	module   string
	list     string
	only     string
	duration time.Duration
	seed     uint64
	check    bool
}

func main() {
	var o options
	flag.StringVar(&o.module, "module", ".", "folder of the module")
	flag.StringVar(&o.list, "list", "test/breaks/list", "folder of the breaks, in the module")
	flag.StringVar(&o.only, "only", "", "regular expression of the names of the breaks to try")
	flag.DurationVar(&o.duration, "duration", time.Minute, "how long each is looked for")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()%1e6), "of the histories")
	flag.BoolVar(&o.check, "check", false, "only see whether all can be put back and built")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "breaks:", err)
		os.Exit(1)
	}
}

// result is what became of a break.
type result struct {
	breakage
	Found   string        // the kind of violation; empty: nothing was found
	After   time.Duration // of looking
	Problem error         // it could not be tried
}

// missed says that it was not found as it should have been.
func (r result) missed() bool {
	if r.Problem != nil || r.Found == "" {
		return true
	}
	return r.Meant != "" && !regexp.MustCompile(r.Meant).MatchString(r.Found)
}

func run(ctx context.Context, o options) error {
	module, err := filepath.Abs(o.module)
	if err != nil {
		return err
	}
	o.module = module
	all, err := readAll(filepath.Join(module, o.list), o.only)
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "slotwise-breaks-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	if !o.check {
		fmt.Printf("seed %d; the code as it is, for %s\n", o.seed, o.duration)
		if r := try(ctx, o, folder, breakage{Name: "none"}); r.Problem != nil || r.Found != "" {
			return errors.Join(fmt.Errorf("the code as it is does not pass: %s", r.Found), r.Problem)
		}
	}
	var results []result
	for i, b := range all {
		r := try(ctx, o, folder, b)
		results = append(results, r)
		fmt.Printf("%d of %d: %s: %s\n", i+1, len(all), b.Name, r)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return tell(results)
}

func readAll(folder, only string) (all []breakage, err error) {
	which, err := regexp.Compile(only)
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.txt"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s has no breaks", folder)
	}
	for _, f := range files {
		b, err := read(f)
		if err != nil {
			return nil, err
		}
		if which.MatchString(b.Name) {
			all = append(all, b)
		}
	}
	return all, nil
}

// try builds the simulation with a break, and lets it look for it.
func try(ctx context.Context, o options, folder string, b breakage) (r result) {
	r.breakage = b
	replaced, err := b.apply(o.module, folder)
	if err != nil {
		r.Problem = err
		return r
	}
	binary := filepath.Join(folder, "sim.test")
	if r.Problem = build(ctx, o.module, folder, binary, replaced); r.Problem != nil || o.check {
		return r
	}
	began := time.Now()
	cmd := exec.CommandContext(ctx, binary, "-test.run=^TestSim$", "-test.timeout=0")
	cmd.Dir = filepath.Join(o.module, "test", "sim")
	cmd.Env = append(os.Environ(),
		"SIM_DURATION="+o.duration.String(), fmt.Sprintf("SIM_SEED=%d", o.seed), "SIM_ENOUGH=1", "SIM_SHRINK=0s")
	out, err := cmd.CombinedOutput()
	r.After = time.Since(began)
	if m := foundLine.FindSubmatch(out); m != nil {
		r.Found = string(m[1])
		return r
	}
	if err != nil {
		r.Problem = fmt.Errorf("%w\n%s", err, out)
	}
	return r
}

// foundLine is how the simulation tells of a failure.
var foundLine = regexp.MustCompile(`FOUND after [\d.]+s, seed \d+: (.*)`)

// build builds the test binary of the simulation, with some files replaced.
func build(ctx context.Context, module, folder, binary string, replaced map[string]string) error {
	overlay, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return err
	}
	file := filepath.Join(folder, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-overlay", file, "-o", binary, "./test/sim")
	cmd.Dir = module
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// String is the result in a line.
func (r result) String() string {
	switch {
	case r.Problem != nil:
		return "could not be tried: " + r.Problem.Error()
	case r.Found == "":
		return fmt.Sprintf("not found within %.0f s", r.After.Seconds())
	}
	return fmt.Sprintf("found by %q after %.1f s", r.Found, r.After.Seconds())
}

// tell prints the table, and is an error if one was missed.
func tell(results []result) error {
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	row := func(cells ...string) { _, _ = fmt.Fprintln(table, strings.Join(cells, "\t")) }
	row("\npromise", "break", "found by", "seconds")
	missed := 0
	for _, r := range results {
		found := r.Found
		if r.missed() {
			missed++
			if found == "" {
				found = "NOT FOUND"
			} else {
				found += " (not as meant)"
			}
		}
		row(r.Promise, r.Name, found, fmt.Sprintf("%.1f", r.After.Seconds()))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if missed > 0 {
		return fmt.Errorf("%d of %d breaks were missed", missed, len(results))
	}
	return nil
}
