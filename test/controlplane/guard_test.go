package controlplane_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"slotwise.dev/slotwise/test/controlplane"
)

// orphanVariable makes the test binary a program that starts a cluster in the
// folder it names, says so, and waits to be killed.
const orphanVariable = "CONTROLPLANE_ORPHAN"

func beOrphaned(dir string) {
	c, err := controlplane.Start(context.Background(), controlplane.Options{Dir: dir})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(c.Dir)
	select {}
}

// TestChildrenEndWithTheirParent kills a process that has a cluster.
func TestChildrenEndWithTheirParent(t *testing.T) {
	dir := t.TempDir()
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), orphanVariable+"="+dir)
	output, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != dir {
		t.Fatalf("the cluster did not start: %q, %v", line, err)
	}
	children := processes(t, dir)
	if len(children) != 4 {
		t.Fatalf("the cluster has %d processes, want etcd, kube-apiserver and two of KWOK", len(children))
	}

	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // it was killed
	await(t, func(context.Context) error {
		for name, pid := range children {
			if !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
				return fmt.Errorf("%s is alive", name)
			}
		}
		if _, err := os.Stat(filepath.Join(dir, "etcd")); !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(errors.New("etcd's data is there"), err)
		}
		return nil
	})
}

// processes returns the process ids of a cluster's children by their name.
func processes(t *testing.T, dir string) map[string]int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "run", "*.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pids := map[string]int{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, 0); err != nil {
			t.Errorf("%s: process %d: %v", file, pid, err)
		}
		pids[filepath.Base(file)] = pid
	}
	return pids
}
