package controlplane

import (
	"context"
	"embed"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	// StopAfterAnnotation makes a deleted pod stay that long (a Go duration), as
	// one that takes its time to end.
	StopAfterAnnotation = "kwok.slotwise.dev/stop-after"
)

// kwokUser is the name by which KWOK is known to the API server.
const kwokUser = "kwok"

//go:embed stages
var stages embed.FS

// kubelets are the kinds of nodes and the condition, in jq, under which a bound
// pod starts there. A pod's own stages cannot see its node, so each kind is a
// process of its own.
var kubelets = []struct{ name, nodes, startsWhen string }{
	{"kwok-linux", "kubernetes.io/os!=windows", "true"},
	{"kwok-windows", "kubernetes.io/os=windows",
		`.spec.hostNetwork == true or .metadata.annotations["` + AddressAnnotation + `"] != null`},
}

// startKWOK starts the kubelets.
func (c *Cluster) startKWOK(ctx context.Context) error {
	if err := c.grantKWOK(ctx); err != nil {
		return err
	}
	kubeconfig, err := c.Kubeconfig(kwokUser)
	if err != nil {
		return err
	}
	path, err := tool(c.tools, "kwok")
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, kubelet := range kubelets {
		config, err := c.kwokConfig(kubelet.name, kubelet.startsWhen)
		if err != nil {
			return err
		}
		port, err := FreePort()
		if err != nil {
			return err
		}
		address := loopback(port)
		group.Go(func() error {
			_, err := c.Run(ctx, Command{
				Name: kubelet.name,
				Path: path,
				Args: []string{
					"--kubeconfig=" + kubeconfig,
					"--config=" + config,
					"--manage-nodes-with-label-selector=" + kubelet.nodes,
					"--server-address=" + address,
				},
				Ready: func(ctx context.Context) error {
					return healthy(ctx, http.DefaultClient, "http://"+address+"/healthz")
				},
			})
			return err
		})
	}
	return group.Wait()
}

// kwokConfig writes the configuration of one kind of nodes and returns its path.
func (c *Cluster) kwokConfig(name, startsWhen string) (string, error) {
	var parts []string
	for _, file := range []string{"config", "node", "pod-start", "pod-end"} {
		text, err := stages.ReadFile("stages/" + file + ".yaml")
		if err != nil {
			return "", err
		}
		parts = append(parts, strings.ReplaceAll(string(text), "$(STARTS_WHEN)", startsWhen))
	}
	path := filepath.Join(c.Dir, name+".yaml")
	return path, os.WriteFile(path, []byte(strings.Join(parts, "---\n")), 0o600)
}

// grantKWOK gives KWOK what kubelets and the node lifecycle controller may do.
func (c *Cluster) grantKWOK(ctx context.Context) error {
	rbac := c.Client.RbacV1()
	meta := metav1.ObjectMeta{Name: kwokUser}
	_, err := rbac.ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"nodes"}, Verbs: []string{"get", "list", "watch", "patch"}},
		{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get", "list", "watch", "delete"}},
		{APIGroups: []string{""}, Resources: []string{"nodes/status", "pods/status"}, Verbs: []string{"patch"}},
	}}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("create ClusterRole %s: %w", kwokUser, err)
	}
	_, err = rbac.ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: meta,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: kwokUser},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: kwokUser}},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("create ClusterRoleBinding %s: %w", kwokUser, err)
	}
	return nil
}

// healthy returns nil if the health endpoint at url answers 200.
func healthy(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	return nil
}
