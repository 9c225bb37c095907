package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/terrace-pki/terrace/internal/app"
)

// requestTimeout bounds each question that a command asks of the API server.
const requestTimeout = 30 * time.Second

// kubeFlags are those flags of kubectl that every command for people has.
type kubeFlags struct {
	kubeconfig string
	overrides  clientcmd.ConfigOverrides
}

func (k *kubeFlags) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&k.kubeconfig, "kubeconfig", "", "kubeconfig file; default: as kubectl")
	f.StringVar(&k.overrides.CurrentContext, "context", "", "context of the kubeconfig")
	f.StringVarP(&k.overrides.Context.Namespace, "namespace", "n", "", "namespace; default: the context's")
	f.StringVar(&k.overrides.AuthInfo.Impersonate, "as", "", "user to act as")
	f.StringArrayVar(&k.overrides.AuthInfo.ImpersonateGroups, "as-group", nil, "group to act as; may be repeated")
}

// session is a person at the API server.
type session struct {
	client.Client
	namespace string
}

func (k *kubeFlags) connect() (*session, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = k.kubeconfig
	config := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &k.overrides)
	namespace, _, err := config.Namespace()
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	rest, err := config.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	rest.Timeout = requestTimeout
	scheme, err := app.Scheme()
	if err != nil {
		return nil, err
	}
	c, err := client.New(rest, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connect to the API server: %w", err)
	}
	return &session{Client: c, namespace: namespace}, nil
}

// user is who the API server takes the person for.
func (s *session) user(ctx context.Context) (string, error) {
	review := &authenticationv1.SelfSubjectReview{}
	if err := s.Create(ctx, review); err != nil {
		return "", fmt.Errorf("ask who you are: %w", err)
	}
	return review.Status.UserInfo.Username, nil
}

// kinds by the names that kubectl takes.
var kinds = map[string]string{
	"certificaterequest": "CertificateRequest", "certificaterequests": "CertificateRequest", "certreq": "CertificateRequest",
	"businessca": "BusinessCA", "businesscas": "BusinessCA",
	"certificaterevocation": "CertificateRevocation", "certificaterevocations": "CertificateRevocation", "certrev": "CertificateRevocation",
}

// parseObject reads NAME, KIND/NAME or KIND NAME, one of allowed; NAME alone is
// a CertificateRequest.
func parseObject(args []string, allowed ...string) (kind, name string, err error) {
	kind, name = "certificaterequest", args[0]
	if k, n, ok := strings.Cut(args[0], "/"); ok && len(args) == 1 {
		kind, name = k, n
	} else if len(args) == 2 {
		kind, name = args[0], args[1]
	}
	known := kinds[strings.ToLower(kind)]
	for _, a := range allowed {
		if a == known && name != "" && !strings.Contains(name, "/") {
			return known, name, nil
		}
	}
	return "", "", fmt.Errorf("%q: want NAME of a CertificateRequest, or KIND/NAME with one of the kinds %s", strings.Join(args, " "), strings.Join(allowed, ", "))
}
