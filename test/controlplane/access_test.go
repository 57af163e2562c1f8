package controlplane_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"os"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// TestServiceAccountKubeconfig shows that a kubeconfig acts as its ServiceAccount:
// it may do what RBAC grants, and nothing else.
func TestServiceAccountKubeconfig(t *testing.T) {
	namespace := cluster.NewNamespace(t)
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "reader"}}
	if _, err := cluster.Client.CoreV1().ServiceAccounts(namespace).Create(t.Context(), account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	path, err := cluster.ServiceAccountKubeconfig(t.Context(), namespace, "reader")
	if err != nil {
		t.Fatal(err)
	}
	client := clientOf(t, path)
	list := func(ctx context.Context) error {
		_, err := client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
		return err
	}
	if err := list(t.Context()); !apierrors.IsForbidden(err) {
		t.Fatalf("before the grant: error %v, want Forbidden", err)
	}

	grantPods(t, namespace, "reader")
	await(t, list)
	if _, err := client.CoreV1().Secrets(namespace).List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("what is not granted: error %v, want Forbidden", err)
	}
}

// grantPods lets a ServiceAccount list the pods of its namespace.
func grantPods(t *testing.T, namespace, account string) {
	t.Helper()
	rbac, meta := cluster.Client.RbacV1(), metav1.ObjectMeta{Name: account}
	_, err := rbac.Roles(namespace).Create(t.Context(), &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list"}},
	}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = rbac.RoleBindings(namespace).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: meta,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: account},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: account}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

func clientOf(t *testing.T, kubeconfig string) kubernetes.Interface {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// TestAudit finds a refused request of a user in the audit log.
func TestAudit(t *testing.T) {
	path, err := cluster.Kubeconfig("mallory", "strangers")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := clientOf(t, path).CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Fatalf("error %v, want Forbidden", err)
	}
	await(t, func(context.Context) error {
		file, err := os.Open(cluster.AuditLog())
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		for lines := bufio.NewScanner(file); lines.Scan(); {
			var event struct {
				User           struct{ Username string }
				Verb           string
				ResponseStatus struct{ Code int }
			}
			if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
				return err
			}
			if event.User.Username == "mallory" && event.Verb == "list" && event.ResponseStatus.Code == 403 {
				return nil
			}
		}
		return errors.New("the refusal is not in the audit log")
	})
}
