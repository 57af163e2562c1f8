package controlplane

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// assetsVariable names the environment variable by which envtest and its kin are
// told of ready-made binaries.
const assetsVariable = "KUBEBUILDER_ASSETS"

// toolsFolder is where `make tools` puts the binaries, below the module's root.
var toolsFolder = filepath.Join("test", "tools", "bin")

// Kubectl is the path of kubectl.
func (c *Cluster) Kubectl() (string, error) { return tool(c.tools, "kubectl") }

// tool returns the path of a binary of the control plane: of the folder in
// KUBEBUILDER_ASSETS if it has it, else of folder. It is an error, which says
// what to do, if neither has it.
func tool(folder, name string) (string, error) {
	for _, dir := range []string{os.Getenv(assetsVariable), folder} {
		if dir == "" {
			continue
		}
		path, err := filepath.Abs(filepath.Join(dir, name))
		if err != nil {
			return "", err
		}
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not in %s: build it with `make tools`", name, folder)
}

// findTools returns the folder of the binaries, looked for from the working
// directory upwards: tests run in their package's folder, commands anywhere.
func findTools() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		folder := filepath.Join(dir, toolsFolder)
		if _, err := os.Stat(folder); !errors.Is(err, fs.ErrNotExist) {
			return folder, err
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("no %s here or above: build it with `make tools`", toolsFolder)
		}
		dir = parent
	}
}
