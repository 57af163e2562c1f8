package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// stopTimeout is how long a process may take to end after SIGTERM.
const stopTimeout = 20 * time.Second

// pollInterval is the pause between two looks at something that is awaited.
const pollInterval = 20 * time.Millisecond

// Command says what to run as a child of the cluster.
type Command struct {
	// Name names the process, its log and its pid file.
	Name string
	Path string
	Args []string
	// Env is added to the environment of this process.
	Env []string
	// Ready is asked until it returns nil; then the process counts as started.
	// Without it a process counts as started at once.
	Ready func(context.Context) error
}

// Process is a running child of the cluster.
type Process struct {
	// Name is the name of its [Command].
	Name string
	// Log is the file that has its output.
	Log string

	pidFile string
	cmd     *exec.Cmd
	done    chan struct{}
	err     error // of Wait; to be read once done is closed
}

// Run starts a command, and waits up to a minute until it is ready. It ends with
// the cluster, unless it is stopped before. The same name may run again after it has ended;
// its output goes on in the same log.
func (c *Cluster) Run(ctx context.Context, command Command) (*Process, error) {
	p := &Process{
		Name:    command.Name,
		Log:     c.logFile(command.Name),
		pidFile: c.pidFile(command.Name),
		cmd:     exec.Command(command.Path, command.Args...),
		done:    make(chan struct{}),
	}
	if err := p.start(command.Env); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.Name, err)
	}
	c.adopt(p)
	if command.Ready == nil {
		return p, nil
	}
	if err := p.await(ctx, command.Ready); err != nil {
		return nil, errors.Join(fmt.Errorf("%s did not become ready, see %s: %w", p.Name, p.Log, err), p.Stop())
	}
	return p, nil
}

// start runs the process in a group of its own, so that a Ctrl-C in the terminal
// reaches only the parent, which then stops its children in order.
func (p *Process) start(env []string) error {
	log, err := openLog(p.Log)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the child has its own descriptor
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return os.WriteFile(p.pidFile, []byte(strconv.Itoa(p.PID())), 0o600)
}

// await polls ready until it returns nil, the process ends, or time is up.
func (p *Process) await(ctx context.Context, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("it ended: %w", p.err)
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(pollInterval):
		}
	}
}

// PID returns the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed once the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Freeze stops the process where it stands (SIGSTOP), as a virtual machine that
// is paused or a machine that swaps.
func (p *Process) Freeze() error { return p.cmd.Process.Signal(syscall.SIGSTOP) }

// Thaw lets a frozen process go on (SIGCONT).
func (p *Process) Thaw() error { return p.cmd.Process.Signal(syscall.SIGCONT) }

// Kill ends the process at once (SIGKILL), as a crash would. It is no error if it
// has ended already.
func (p *Process) Kill() error { return p.end(syscall.SIGKILL) }

// Stop asks the process to end (SIGTERM), frozen or not, and waits for it. One
// that takes longer than 20 s is killed, which is an error. It is none if the
// process has ended already.
func (p *Process) Stop() error {
	_ = p.Thaw() // fails only if it has ended
	return p.end(syscall.SIGTERM)
}

func (p *Process) end(signal syscall.Signal) error {
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end %s: %w", p.Name, err)
	}
	select {
	case <-p.done:
		return removePIDFile(p.pidFile)
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Kill() // fails only if it has ended
		<-p.done
		late := fmt.Errorf("%s did not end within %s of %s and was killed, see %s", p.Name, stopTimeout, signal, p.Log)
		return errors.Join(late, removePIDFile(p.pidFile))
	}
}

// removePIDFile takes a process that has ended out of the guard's sight. It is no
// error if that has been done.
func removePIDFile(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// openLog opens a log to be continued, and makes its folder if need be.
func openLog(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}
