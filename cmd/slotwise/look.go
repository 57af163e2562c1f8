package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/api/v1alpha1"
	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/survey"
)

// sources is where the commands that only look find Kubernetes and EC2: the flags of
// kubectl, and those of run.
type sources struct {
	flags
	kubeconfig, context string
}

func (s *sources) register(f *pflag.FlagSet) {
	f.StringVar(&s.kubeconfig, "kubeconfig", "", "kubeconfig to use; empty: $KUBECONFIG, or ~/.kube/config")
	f.StringVar(&s.context, "context", "", "context of the kubeconfig to use; empty: the current one")
	s.registerLocations(f)
}

// rest is the connection to Kubernetes, as kubectl would make it.
func (s *sources) rest() (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = s.kubeconfig
	rc, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: s.context}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("connect to Kubernetes: %w; name a kubeconfig with --kubeconfig or $KUBECONFIG, and a context of it with --context (kubectl config get-contexts)", err)
	}
	rc.QPS = -1 // the API server's priority and fairness decides, not a guess made here
	return rc, nil
}

// opened are connections to Kubernetes and EC2.
type opened struct {
	rest      *rest.Config
	kube      client.Client
	ec2       *ec2.Client
	configMap types.NamespacedName
}

// open opens both. Nothing is asked of EC2 yet.
func (s *sources) open(ctx context.Context) (o opened, err error) {
	if o.configMap, err = s.configMapName(); err != nil {
		return o, err
	}
	if o.rest, err = s.rest(); err != nil {
		return o, err
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return o, err
	}
	if o.kube, err = client.New(o.rest, client.Options{Scheme: scheme}); err != nil {
		return o, fmt.Errorf("connect to Kubernetes: %w; check that the cluster answers: kubectl get nodes", err)
	}
	o.ec2, err = cloud.Dial(ctx, s.region, s.endpoint)
	return o, err
}

// survey reads the cluster once.
func (o opened) survey(ctx context.Context) (*survey.Cluster, error) {
	return survey.Read(ctx, o.kube, survey.NewEC2(o.ec2), o.configMap)
}
