package controlplane

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Annotations by which a pod tells its kubelet what to play.
const (
	// AddressAnnotation is where a pod on a Windows node finds its address, as
	// <ip>/<mask length>. Source: the Windows plugin of amazon-vpc-cni-plugins.
	AddressAnnotation = "vpc.amazonaws.com/PrivateIPv4Address"
	// StartAfterAnnotation makes a pod start that long after it could (a Go
	// duration), as one whose image is pulled first.
	StartAfterAnnotation = "kwok.slotwise.dev/start-after"
	// CompleteAfterAnnotation makes a pod succeed that long after its start
	// (a Go duration), as the pod of a job.
	CompleteAfterAnnotation = "kwok.slotwise.dev/complete-after"
	// StopAfterAnnotation makes the containers of a deleted pod stop only that long
	// after (a Go duration), as one that takes its time to end.
	StopAfterAnnotation = "kwok.slotwise.dev/stop-after"
	// TeardownAnnotation is how long the sandbox of a pod on a Windows node outlives
	// its containers (a Go duration), however they end, whatever Kubelets say.
	TeardownAnnotation = "kwok.slotwise.dev/teardown"
)

// Kubelets say how slow the kubelets of Windows nodes are. Zero is the default,
// what is negative is none.
type Kubelets struct {
	// Teardown is how long a pod's sandbox outlives the phase Succeeded or Failed;
	// for so long the kubelet counts the pod. Default: 5 s.
	Teardown time.Duration
	// DeletionTeardown is how long the sandbox of a deleted pod outlives its
	// containers; for so long the pod's object stays, and counts. Default: 100 ms.
	// A real one takes as long as any other, but many tests delete pods only to be
	// rid of them.
	DeletionTeardown time.Duration
	// NodeLag is how far what a kubelet knows of its Node is behind the API server,
	// and so behind what it knows of pods. Default: 100 ms.
	NodeLag time.Duration
}

// kubeletsName is that of the process, and of its user.
const kubeletsName = "kubelets"

// startKubelets starts the kubelets of all Windows nodes. They are one process; see
// test/tools/controlplane/kubelets.
func (c *Cluster) startKubelets(ctx context.Context) error {
	if err := c.grantKubelet(ctx, kubeletsName); err != nil {
		return err
	}
	if _, err := c.Kubeconfig(kubeletsName); err != nil {
		return err
	}
	port, err := FreePort()
	if err != nil {
		return err
	}
	c.kubeletsURL = "http://" + loopback(port)
	c.Kubelets, err = c.StartKubelets(ctx)
	return err
}

// StartKubelets starts the kubelets of all Windows nodes again, after their process
// ([Cluster.Kubelets]) has been stopped or killed, and returns once they serve. All
// pods that they find are admitted anew.
func (c *Cluster) StartKubelets(ctx context.Context) (*Process, error) {
	path, err := tool(c.tools, kubeletsName)
	if err != nil {
		return nil, err
	}
	address, err := url.Parse(c.kubeletsURL)
	if err != nil {
		return nil, err
	}
	p, err := c.Run(ctx, Command{
		Name: kubeletsName,
		Path: path,
		Args: append(c.kubelets.args(), "--kubeconfig="+c.kubeconfigFile(kubeletsName), "--address="+address.Host),
		Ready: func(ctx context.Context) error {
			return healthy(ctx, http.DefaultClient, c.kubeletsURL+"/healthz")
		},
	})
	if err == nil {
		c.Kubelets = p
	}
	return p, err
}

// args are the flags that differ from the program's defaults, which are those of
// Kubelets.
func (k Kubelets) args() (args []string) {
	for flag, d := range map[string]time.Duration{
		"teardown": k.Teardown, "deletion-teardown": k.DeletionTeardown, "node-lag": k.NodeLag,
	} {
		if d != 0 {
			args = append(args, fmt.Sprintf("--%s=%s", flag, max(0, d)))
		}
	}
	return args
}

// RestartKubelet restarts the kubelet of one Windows node: it admits all pods of the
// node anew, in the order of their creation, against the Node as it is now. Those
// that do not fit have failed, even if they were running.
func (c *Cluster) RestartKubelet(ctx context.Context, node string) error {
	target := c.kubeletsURL + "/restart?node=" + url.QueryEscape(node)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(response.Body) // the status says enough without it
		return fmt.Errorf("restart the kubelet of %s: %s: %s", node, response.Status, text)
	}
	return nil
}
