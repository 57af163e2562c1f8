// Package usage is how much processor time and memory the processes of a local control
// plane use.
package usage

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"
)

// Own is the name of this program among the processes.
const Own = "this program"

// CPU is the processor time that each process has used, in seconds, by the name of its
// pid file.
type CPU map[string]float64

// Look looks at all processes of a cluster, whose folder is given, and at this one.
func Look(dir string) (CPU, error) {
	files, err := filepath.Glob(filepath.Join(dir, "run", "*.pid"))
	if err != nil {
		return nil, err
	}
	pids := map[string]int{Own: os.Getpid()}
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
	u := CPU{}
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

// Minus is what was used since an earlier look.
func (u CPU) Minus(before CPU) CPU {
	spent := CPU{}
	for name, seconds := range u {
		spent[name] = seconds - before[name]
	}
	return spent
}

// Total is that of all processes.
func (u CPU) Total() (seconds float64) {
	for _, s := range u {
		seconds += s
	}
	return seconds
}

// Memory is what a process has now, and the most that it had so far, in bytes.
func Memory(pid int) (now, peak uint64, err error) {
	process, err := procfs.NewProc(pid)
	if err != nil {
		return 0, 0, fmt.Errorf("look at process %d: %w", pid, err)
	}
	status, err := process.NewStatus()
	return status.VmRSS, status.VmHWM, err
}
