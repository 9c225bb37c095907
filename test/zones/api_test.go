package zones

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/test/zones/zone"
)

// api is the API server of the management zone, and who uses it.
type api struct {
	config *rest.Config // may do everything; dials from the terminals of people
	kube   *kubernetes.Clientset
	admin  client.Client
}

// startAPI runs the API server and installs the kinds and the rights.
func (tr *tier) startAPI() {
	tr.t.Helper()
	address := tr.net.Address("api")
	server := tr.net.Start("api", zone.Command{Name: "API server", Args: []string{tr.shared("testapiserver"), "-dir", tr.dir("api", "data"), "-address", address, "-port", "6443"}})
	var kubeconfig string
	tr.eventually("API server", func() error {
		for line := range strings.Lines(server.Log()) {
			if path, ok := strings.CutPrefix(strings.TrimSpace(line), "KUBECONFIG="); ok {
				kubeconfig = path
				return nil
			}
		}
		if server.Ended() {
			tr.t.Fatalf("the API server ended:\n%s", server.Log())
		}
		return fmt.Errorf("it prints no KUBECONFIG yet:\n%s", server.Log())
	})
	b, err := os.ReadFile(kubeconfig)
	if err != nil {
		tr.t.Fatal(err)
	}
	tr.net.Put("people", "admin.kubeconfig", b)
	if tr.config, err = clientcmd.RESTConfigFromKubeConfig(b); err != nil {
		tr.t.Fatal(err)
	}
	tr.config.QPS, tr.config.Dial = -1, tr.net.Dialer("people")
	if tr.kube, err = kubernetes.NewForConfig(tr.config); err != nil {
		tr.t.Fatal(err)
	}
	tr.admin = tr.clientOf(tr.config)
	tr.apply(tr.build("../../config/crd"))
	tr.apply(tr.build("../../config/rbac"))
	tr.eventually("kinds", func() error { return tr.admin.List(tr.t.Context(), &pkiv1.TierList{}) })
}

func (tr *tier) clientOf(config *rest.Config) client.Client {
	tr.t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), pkiv1.AddToScheme(scheme)); err != nil {
		tr.t.Fatal(err)
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		tr.t.Fatal(err)
	}
	return c
}

// as is a client of a person, by impersonation: RBAC and webhooks see that person.
func (tr *tier) as(user, group string) client.Client {
	tr.t.Helper()
	config := rest.CopyConfig(tr.config)
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{group}}
	return tr.clientOf(config)
}

// asProcess is a client with the identity of a process, by its token.
func (tr *tier) asProcess(namespace, name string) *kubernetes.Clientset {
	tr.t.Helper()
	config := rest.AnonymousClientConfig(tr.config)
	config.BearerToken = tr.token(namespace, name)
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		tr.t.Fatal(err)
	}
	return c
}

func (tr *tier) token(namespace, name string) string {
	tr.t.Helper()
	hour := int64(3600)
	token, err := tr.kube.CoreV1().ServiceAccounts(namespace).CreateToken(tr.t.Context(), name,
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &hour}}, metav1.CreateOptions{})
	if err != nil {
		tr.t.Fatalf("token of ServiceAccount %s/%s: %v", namespace, name, err)
	}
	return token.Status.Token
}

// kubeconfig gives the process on a host its ServiceAccount's identity.
func (tr *tier) kubeconfig(host, namespace string) string {
	tr.t.Helper()
	c := clientcmdapi.NewConfig()
	c.Clusters["tier"] = &clientcmdapi.Cluster{Server: tr.config.Host, CertificateAuthorityData: tr.config.CAData}
	c.AuthInfos[host] = &clientcmdapi.AuthInfo{Token: tr.token(namespace, host)}
	c.Contexts["tier"] = &clientcmdapi.Context{Cluster: "tier", AuthInfo: host}
	c.CurrentContext = "tier"
	b, err := clientcmd.Write(*c)
	if err != nil {
		tr.t.Fatal(err)
	}
	return tr.net.Put(host, "kubeconfig", b)
}

// kubectl runs it at the terminals of people, as one who may do everything.
func (tr *tier) kubectl(stdin string, args ...string) (string, error) {
	out, err := tr.net.Run("people", zone.Command{Name: "kubectl", Stdin: strings.NewReader(stdin),
		Args: append([]string{tr.shared("kubectl"), "--kubeconfig", tr.dir("people", "admin.kubeconfig")}, args...)})
	return string(out), err
}

func (tr *tier) apply(objects string) {
	tr.t.Helper()
	if _, err := tr.kubectl(objects, "apply", "--server-side", "--force-conflicts", "-f", "-"); err != nil {
		tr.t.Fatal(err)
	}
}

// build renders a kustomization, which only the test's own user can read.
func (tr *tier) build(dir string) string {
	tr.t.Helper()
	cmd := exec.Command(tr.shared("kubectl"), "kustomize", dir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		tr.t.Fatalf("kubectl kustomize %s: %v: %s", dir, err, stderr.String())
	}
	return string(out)
}

// overlay renders a kustomization of ours over a base in config.
func (tr *tier) overlay(base, text string) string {
	tr.t.Helper()
	dir := tr.t.TempDir()
	full, err := filepath.Abs(base)
	if err != nil {
		tr.t.Fatal(err)
	}
	rel, err := filepath.Rel(dir, full)
	if err != nil {
		tr.t.Fatal(err)
	}
	text = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [" + rel + "]\n" + text
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		tr.t.Fatal(err)
	}
	return tr.build(dir)
}

// secret makes one in the tier's namespace.
func (tr *tier) secret(name, key string, value []byte) {
	tr.t.Helper()
	tr.typedSecret(name, corev1.SecretTypeOpaque, key, value)
}

func (tr *tier) typedSecret(name string, typ corev1.SecretType, key string, value []byte) {
	tr.t.Helper()
	ctx := context.Background()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ministry}}
	if err := client.IgnoreAlreadyExists(tr.admin.Create(ctx, ns)); err != nil {
		tr.t.Fatal(err)
	}
	if err := tr.admin.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: ministry}, Type: typ, Data: map[string][]byte{key: value}}); err != nil {
		tr.t.Fatal(err)
	}
}

// ministry is the namespace of config/tiers/ministry.
const ministry = "ministry"
