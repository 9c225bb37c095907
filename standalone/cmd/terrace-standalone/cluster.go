package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// runOnCluster runs everything but the API server, on the one that a context
// of the user's kubeconfig names.
func runOnCluster(ctx context.Context, o options, out io.Writer) error {
	if err := os.MkdirAll(o.dataDir, 0o700); err != nil {
		return err
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	raw, err := rules.Load()
	if err != nil {
		return fmt.Errorf("read kubeconfig: %w", err)
	}
	loader := clientcmd.NewNonInteractiveClientConfig(*raw, o.cluster, &clientcmd.ConfigOverrides{}, rules)
	kube, err := loader.ClientConfig()
	if err != nil {
		return fmt.Errorf("--cluster %q: %w", o.cluster, err)
	}
	kubeconfig := filepath.Join(o.dataDir, "kubeconfig")
	if err := writeImpersonating(raw, o.cluster, kubeconfig); err != nil {
		return err
	}
	fmt.Fprintf(out, "using the API server of context %q at %s\n", o.cluster, kube.Host)
	return manage(ctx, o, kube, kubeconfig, out)
}

// writeImpersonating writes a kubeconfig with the same contexts as the
// standalone's: the people are the cluster's user who impersonates them.
func writeImpersonating(raw *clientcmdapi.Config, name, path string) error {
	source, ok := raw.Contexts[name]
	if !ok {
		return fmt.Errorf("--cluster %q: the kubeconfig has no such context", name)
	}
	cluster, user := raw.Clusters[source.Cluster], raw.AuthInfos[source.AuthInfo]
	if cluster == nil || user == nil {
		return fmt.Errorf("--cluster %q: its cluster or user is missing in the kubeconfig", name)
	}
	k := clientcmdapi.NewConfig()
	k.Clusters["cluster"] = cluster.DeepCopy()
	for _, p := range people {
		u := user.DeepCopy()
		if p.Name != "admin" {
			u.Impersonate, u.ImpersonateGroups = p.User, p.Groups
		}
		k.AuthInfos[p.Name] = u
		k.Contexts[p.Name] = &clientcmdapi.Context{Cluster: "cluster", AuthInfo: p.Name, Namespace: p.Namespace}
	}
	k.CurrentContext = "admin"
	if err := clientcmdapi.FlattenConfig(k); err != nil {
		return fmt.Errorf("read the kubeconfig's files: %w", err)
	}
	if err := clientcmd.WriteToFile(*k, path); err != nil {
		return err
	}
	return os.Chmod(path, 0o600)
}
