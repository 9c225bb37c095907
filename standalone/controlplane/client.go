package controlplane

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/terrace-pki/terrace/internal/atomicfile"
)

// MastersGroup is the group whose members RBAC lets do everything.
const MastersGroup = "system:masters"

const (
	kubeconfigCluster = "terrace"
	maxContexts       = 256
	maxIdentityBytes  = 256 // a user or group name; more than an X.509 name is meant to hold
)

// Context is one entry of a kubeconfig: a user and where that user works.
type Context struct {
	Name      string   // of the context, unique in the file
	User      string   // as the API server authenticates it; the CN of the certificate
	Groups    []string // the user's groups; the O values of the certificate
	Namespace string   // the default namespace; empty means "default"
}

// ClientConfig makes a client certificate for the user in the groups and
// returns a configuration that uses it. The certificate is valid for a year,
// also across restarts, and cannot be withdrawn: what the user may do is up to
// RBAC. Requests are not throttled on the client's side.
func (cp *ControlPlane) ClientConfig(user string, groups []string) (*rest.Config, error) {
	if err := checkIdentity(user, groups); err != nil {
		return nil, fmt.Errorf("client configuration: %w", err)
	}
	certPEM, keyPEM, err := cp.authority.issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: user, Organization: groups},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil, fmt.Errorf("client configuration: user %q: %w", user, err)
	}
	return &rest.Config{
		Host:            cp.url,
		QPS:             -1,
		TLSClientConfig: rest.TLSClientConfig{CAData: cp.authority.pem, CertData: certPEM, KeyData: keyPEM},
	}, nil
}

func checkIdentity(user string, groups []string) error {
	if user == "" || len(user) > maxIdentityBytes {
		return fmt.Errorf("user: must have 1 to %d bytes", maxIdentityBytes)
	}
	for _, g := range groups {
		if g == "" || len(g) > maxIdentityBytes {
			return fmt.Errorf("user %q: group: must have 1 to %d bytes", user, maxIdentityBytes)
		}
	}
	return nil
}

// WriteKubeconfig writes a kubeconfig with the contexts to path, mode 0600; the
// first context is the current one. Certificates and keys are in the file, so
// that it can be copied. Each call makes new certificates.
func (cp *ControlPlane) WriteKubeconfig(path string, contexts []Context) error {
	if len(contexts) == 0 || len(contexts) > maxContexts {
		return fmt.Errorf("write kubeconfig: must have 1 to %d contexts", maxContexts)
	}
	k := clientcmdapi.NewConfig()
	k.Clusters[kubeconfigCluster] = &clientcmdapi.Cluster{Server: cp.url, CertificateAuthorityData: cp.authority.pem}
	k.CurrentContext = contexts[0].Name
	for _, c := range contexts {
		if c.Name == "" {
			return errors.New("write kubeconfig: context name: must be given")
		}
		if k.Contexts[c.Name] != nil {
			return fmt.Errorf("write kubeconfig: context name: %q is there twice", c.Name)
		}
		cfg, err := cp.ClientConfig(c.User, c.Groups)
		if err != nil {
			return fmt.Errorf("write kubeconfig: context %q: %w", c.Name, err)
		}
		k.AuthInfos[c.Name] = &clientcmdapi.AuthInfo{ClientCertificateData: cfg.CertData, ClientKeyData: cfg.KeyData}
		k.Contexts[c.Name] = &clientcmdapi.Context{Cluster: kubeconfigCluster, AuthInfo: c.Name, Namespace: c.Namespace}
	}
	text, err := clientcmd.Write(*k)
	if err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	if err := atomicfile.Write(path, text, 0o600); err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	return nil
}
