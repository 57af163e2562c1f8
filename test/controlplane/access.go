package controlplane

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// tokenSeconds is how long the token of a ServiceAccount is good for: a day.
const tokenSeconds = 24 * 60 * 60

// Kubeconfig writes a kubeconfig of a user with a client certificate, and
// returns its path. What the user may do is for RBAC to say.
func (c *Cluster) Kubeconfig(user string, groups ...string) (string, error) {
	c.users.Lock() // envtest's authority is not safe for concurrent use
	added, err := c.APIServer.env.AddUser(envtest.User{Name: user, Groups: groups}, nil)
	c.users.Unlock()
	if err != nil {
		return "", fmt.Errorf("add user %s: %w", user, err)
	}
	text, err := added.KubeConfig()
	if err != nil {
		return "", fmt.Errorf("kubeconfig of %s: %w", user, err)
	}
	path := c.kubeconfigFile(user)
	return path, os.WriteFile(path, text, 0o600)
}

// ServiceAccountKubeconfig writes a kubeconfig that acts as a ServiceAccount, by
// a token that the API server issues for a day, and returns its path.
func (c *Cluster) ServiceAccountKubeconfig(ctx context.Context, namespace, name string) (string, error) {
	seconds := int64(tokenSeconds)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	request, err := c.Client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, request, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("token of ServiceAccount %s/%s: %w", namespace, name, err)
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["cluster"] = &clientcmdapi.Cluster{Server: c.Admin.Host, CertificateAuthorityData: c.Admin.CAData}
	config.AuthInfos["user"] = &clientcmdapi.AuthInfo{Token: request.Status.Token}
	config.Contexts["context"] = &clientcmdapi.Context{Cluster: "cluster", AuthInfo: "user", Namespace: namespace}
	config.CurrentContext = "context"
	path := c.kubeconfigFile(namespace + "." + name)
	return path, clientcmd.WriteToFile(*config, path)
}

func (c *Cluster) kubeconfigFile(user string) string {
	return filepath.Join(c.Dir, "kubeconfig", strings.ReplaceAll(user, ":", "-"))
}

// CreateNamespace creates a namespace with its ServiceAccount "default". It is no
// error if they are there.
func (c *Cluster) CreateNamespace(ctx context.Context, name string) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	_, err := c.Client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create namespace %s: %w", name, err)
	}
	return c.createDefaultServiceAccount(ctx, name)
}

// createDefaultServiceAccount does the part of the controller of service
// accounts. It waits for the namespace: a new API server makes its own by and by.
func (c *Cluster) createDefaultServiceAccount(ctx context.Context, namespace string) error {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	return poll(ctx, "ServiceAccount "+namespace+"/default is there", func(ctx context.Context) error {
		_, err := c.Client.CoreV1().ServiceAccounts(namespace).Create(ctx, account, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			return nil
		}
		return err
	})
}
