package controlplane

import (
	"context"
	"embed"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// kwokName is that of the process, and of its user.
const kwokName = "kwok"

//go:embed stages
var stages embed.FS

// startKWOK starts the kubelets of all Linux nodes.
func (c *Cluster) startKWOK(ctx context.Context) error {
	if err := c.grantKubelet(ctx, kwokName); err != nil {
		return err
	}
	kubeconfig, err := c.Kubeconfig(kwokName)
	if err != nil {
		return err
	}
	path, err := tool(c.tools, kwokName)
	if err != nil {
		return err
	}
	config, err := c.kwokConfig()
	if err != nil {
		return err
	}
	port, err := FreePort()
	if err != nil {
		return err
	}
	_, err = c.Run(ctx, Command{
		Name: kwokName,
		Path: path,
		Args: []string{
			"--kubeconfig=" + kubeconfig,
			"--config=" + config,
			// Not those without the label: they may be Windows nodes.
			"--manage-nodes-with-label-selector=kubernetes.io/os=linux",
			"--server-address=" + loopback(port),
		},
		Ready: func(ctx context.Context) error {
			return healthy(ctx, http.DefaultClient, "http://"+loopback(port)+"/healthz")
		},
	})
	return err
}

// kwokConfig writes KWOK's configuration and returns its path.
func (c *Cluster) kwokConfig() (string, error) {
	var parts []string
	for _, file := range []string{"config", "node", "pod-start", "pod-end"} {
		text, err := stages.ReadFile("stages/" + file + ".yaml")
		if err != nil {
			return "", err
		}
		parts = append(parts, string(text))
	}
	path := filepath.Join(c.Dir, "kwok.yaml")
	return path, os.WriteFile(path, []byte(strings.Join(parts, "---\n")), 0o600)
}

// grantKubelet gives a user what kubelets and the node lifecycle controller may do.
func (c *Cluster) grantKubelet(ctx context.Context, user string) error {
	rbac := c.Client.RbacV1()
	meta := metav1.ObjectMeta{Name: user}
	_, err := rbac.ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"nodes"}, Verbs: []string{"get", "list", "watch", "patch"}},
		{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get", "list", "watch", "delete"}},
		{APIGroups: []string{""}, Resources: []string{"nodes/status", "pods/status"}, Verbs: []string{"patch"}},
	}}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("create ClusterRole %s: %w", user, err)
	}
	_, err = rbac.ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: meta,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: user},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("create ClusterRoleBinding %s: %w", user, err)
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
