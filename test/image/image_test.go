// Package image tests the Dockerfile where no container engine is at hand: the
// commands of its build stage run as they stand there, and what they build runs
// where there is nothing else.
//
// Only tests come in.
package image

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// repository is the folder of the Dockerfile, which is the context of the build.
const repository = "../.."

// version is what the build is to stamp.
const version = "v1.2.3-test"

// nonRoot is the user of the image.
const nonRoot = 65532

// TestImage builds the program and starts it from an empty root, as the user of
// the image.
func TestImage(t *testing.T) {
	stages := parse(t)
	if len(stages) != 2 {
		t.Fatalf("%d stages, want that of the build and that of the image", len(stages))
	}
	program := product(t, stages[1])
	root := t.TempDir()
	build(t, stages[0], root, program)

	if os.Geteuid() != 0 {
		t.Skip("only root can change the root folder; the program was built, but not started from an empty root")
	}
	empty := t.TempDir()
	if err := os.Chmod(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(root, program), filepath.Join(empty, program)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "--version")
	cmd.Dir, cmd.Env = "/", []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: empty, Credential: &syscall.Credential{Uid: nonRoot, Gid: nonRoot}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), version) {
		t.Errorf("--version from an empty root says %q (%v), want %s", out, err, version)
	}
}

// TestNonRoot: the image runs as nobody in particular, whatever its base does.
func TestNonRoot(t *testing.T) {
	final := parse(t)[1]
	if i := slices.Index(final, instruction{"USER", "65532:65532"}); i < 0 {
		t.Errorf("the image has no USER 65532:65532: %v", final)
	}
}

type instruction struct{ name, rest string }

// parse reads the instructions of each stage.
func parse(t *testing.T) (stages [][]instruction) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(strings.ReplaceAll(string(text), "\\\n", " ")) {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case name == "" || strings.HasPrefix(name, "#"):
		case name == "FROM":
			stages = append(stages, []instruction{{name, rest}})
		default:
			last := len(stages) - 1
			stages[last] = append(stages[last], instruction{name, strings.TrimSpace(rest)})
		}
	}
	return stages
}

var copied = regexp.MustCompile(`^--from=build (/\S+) (/\S+)$`)

// product is the one file that the image takes from the build.
func product(t *testing.T, image []instruction) string {
	t.Helper()
	for _, i := range image {
		if m := copied.FindStringSubmatch(i.rest); i.name == "COPY" && m != nil {
			return m[1]
		}
	}
	t.Fatalf("the image takes nothing from the build: %v", image)
	return ""
}

// build follows the instructions of the build stage with root for its root folder:
// paths under it, the program's in commands among them, get root in front.
func build(t *testing.T, stage []instruction, root, program string) {
	t.Helper()
	dir := root
	env := append(os.Environ(), "TARGETOS=linux", "TARGETARCH="+runtime.GOARCH, "VERSION="+version)
	for _, i := range stage {
		switch i.name {
		case "FROM", "ARG":
		case "WORKDIR":
			dir = filepath.Join(root, i.rest)
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		case "COPY":
			files := strings.Fields(i.rest)
			copyFiles(t, files[:len(files)-1], filepath.Join(dir, files[len(files)-1]))
		case "RUN":
			command := strings.ReplaceAll(i.rest, " "+program+" ", " "+filepath.Join(root, program)+" ")
			cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", command)
			cmd.Dir, cmd.Env = dir, env
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("RUN %s: %v\n%s", i.rest, err, out)
			}
		default:
			t.Fatalf("%s: this test does not know the instruction", i.name)
		}
	}
}

// copyFiles copies files of the repository into a folder; "." is all of them but
// what .dockerignore names.
func copyFiles(t *testing.T, files []string, into string) {
	t.Helper()
	if slices.Equal(files, []string{"."}) {
		files = everything(t)
	}
	for _, name := range files {
		from, to := filepath.Join(repository, name), filepath.Join(into, name)
		info, err := os.Stat(from)
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			err = os.CopyFS(to, os.DirFS(from))
		} else {
			err = copyFile(from, to)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func copyFile(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o644)
}

// everything lists the repository's folder without what .dockerignore names.
func everything(t *testing.T) (names []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, ".dockerignore"))
	if err != nil {
		t.Fatal(err)
	}
	ignored := strings.Split(string(text), "\n")
	entries, err := os.ReadDir(repository)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains(ignored, e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names
}
