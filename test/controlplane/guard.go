package controlplane

import (
	_ "embed"
	"io"
	"os/exec"
	"syscall"
)

//go:embed guard.sh
var guardScript string

// guard is a shell that waits for the end of this process, however it ends, then
// kills the children that are left, and removes etcd's data, which is large. The
// kernel could kill our own children (on Linux), but not those that envtest starts.
type guard struct {
	cmd *exec.Cmd
	// lifeline is the other end of the guard's standard input. The kernel closes
	// it when this process ends, and children do not inherit it.
	lifeline io.Closer
}

// startGuard starts the guard of the processes whose pid files are in a folder.
func startGuard(pidFiles, data string) (*guard, error) {
	cmd := exec.Command("/bin/sh", "-c", guardScript, "guard", pidFiles, data)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it must outlive a Ctrl-C
	lifeline, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	return &guard{cmd: cmd, lifeline: lifeline}, cmd.Start()
}

// stop has the guard do its work now.
func (g *guard) stop() error {
	if err := g.lifeline.Close(); err != nil {
		return err
	}
	return g.cmd.Wait()
}
