package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"
)

// Names of processes: those of their pid files.
const (
	slotwiseProcess = "slotwise"
	// ownProcess is this program, which creates and watches the pods and is EC2.
	ownProcess = "this program"
)

// usage is the processor time that each process has used, in seconds.
type usage map[string]float64

// usage looks at all processes of the cluster, and at this one.
func (b *bench) usage() (usage, error) {
	files, err := filepath.Glob(filepath.Join(b.Dir, "run", "*.pid"))
	if err != nil {
		return nil, err
	}
	pids := map[string]int{ownProcess: os.Getpid()}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		name := strings.TrimSuffix(filepath.Base(file), ".pid")
		if pids[name], err = strconv.Atoi(strings.TrimSpace(string(text))); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	u := usage{}
	for name, pid := range pids {
		process, err := procfs.NewProc(pid)
		if err != nil {
			return nil, fmt.Errorf("look at %s: %w", name, err)
		}
		stat, err := process.Stat()
		if err != nil {
			return nil, fmt.Errorf("look at %s: %w", name, err)
		}
		u[name] = stat.CPUTime()
	}
	return u, nil
}

// minus is what was used since an earlier look.
func (u usage) minus(before usage) usage {
	spent := usage{}
	for name, seconds := range u {
		spent[name] = seconds - before[name]
	}
	return spent
}

func (u usage) total() (seconds float64) {
	for _, s := range u {
		seconds += s
	}
	return seconds
}

// peakMemory is the most memory that Slotwise has had so far, in bytes.
func (b *bench) peakMemory() (uint64, error) {
	process, err := procfs.NewProc(b.Slotwise.PID())
	if err != nil {
		return 0, fmt.Errorf("look at slotwise: %w", err)
	}
	status, err := process.NewStatus()
	return status.VmHWM, err
}
