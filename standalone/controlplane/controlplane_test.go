package controlplane_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/terrace-pki/terrace/standalone/controlplane"
	"github.com/terrace-pki/terrace/standalone/controlplanetest"
)

func TestMain(m *testing.M) {
	child, err := controlplanetest.RunChild()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if !child {
		os.Exit(m.Run())
	}
}

// One control plane serves all the questions that do not need their own.
func TestRunning(t *testing.T) {
	dir := t.TempDir()
	began := time.Now()
	cp := controlplanetest.Start(t, controlplane.Config{DataDir: dir, NoFsync: true})
	t.Logf("ready in %s", time.Since(began).Round(time.Millisecond))

	t.Run("RBAC", func(t *testing.T) { testRBAC(t, cp) })
	t.Run("Kubeconfig", func(t *testing.T) { testKubeconfig(t, cp) })
	t.Run("Anonymous", func(t *testing.T) { testAnonymous(t, cp) })
	t.Run("SecretsAreEncrypted", func(t *testing.T) { testSecretsAreEncrypted(t, cp, dir) })
	t.Run("Controllers", func(t *testing.T) { testControllers(t, cp) })
	t.Run("Permissions", func(t *testing.T) { testPermissions(t, dir) })
	t.Run("SecondStartIsRefused", func(t *testing.T) { testSecondStartIsRefused(t, dir) })
}

func testRBAC(t *testing.T, cp *controlplane.ControlPlane) {
	ctx := t.Context()
	admin := controlplanetest.Admin(t, cp)
	visitor := controlplanetest.Client(t, cp, "visitor", "readers")

	_, err := visitor.CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{})
	if !apierrors.IsForbidden(err) {
		t.Fatalf("a user without rights lists ConfigMaps: got %v, want Forbidden", err)
	}
	_, err = admin.RbacV1().RoleBindings("default").Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "readers"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "readers"}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the group's right to take effect", func(ctx context.Context) (bool, error) {
		_, err := visitor.CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{})
		return err == nil, nil
	})
	_, err = visitor.CoreV1().Secrets("default").List(ctx, metav1.ListOptions{})
	if !apierrors.IsForbidden(err) {
		t.Errorf("a viewer lists Secrets: got %v, want Forbidden", err)
	}
}

func testKubeconfig(t *testing.T, cp *controlplane.ControlPlane) {
	path := filepath.Join(t.TempDir(), "kubeconfig")
	contexts := []controlplane.Context{
		{Name: "admin", User: "admin", Groups: []string{controlplane.MastersGroup}},
		{Name: "applicant", User: "li.si", Groups: []string{"applicants"}, Namespace: "province"},
	}
	if err := cp.WriteKubeconfig(path, contexts); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode: got %o, want 600", info.Mode().Perm())
	}
	k, err := clientcmd.LoadFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if k.CurrentContext != "admin" {
		t.Errorf("current context: got %q, want the first", k.CurrentContext)
	}
	if got := k.Contexts["applicant"].Namespace; got != "province" {
		t.Errorf("namespace: got %q, want %q", got, "province")
	}
	contexts[1].Name = "admin"
	if err := cp.WriteKubeconfig(path, contexts); err == nil {
		t.Error("two contexts of one name were accepted")
	}
	if _, err := cp.ClientConfig("", nil); err == nil {
		t.Error("a user without a name was accepted")
	}
}

// A certificate of another authority, and no certificate, have no rights.
func testAnonymous(t *testing.T, cp *controlplane.ControlPlane) {
	cfg, err := cp.ClientConfig("nobody", nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg.CertData, cfg.KeyData = nil, nil
	anonymous := clientset(t, cfg)
	_, err = anonymous.CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
	if !apierrors.IsForbidden(err) && !apierrors.IsUnauthorized(err) {
		t.Errorf("without a certificate: got %v, want Forbidden or Unauthorized", err)
	}
}

func testSecretsAreEncrypted(t *testing.T, cp *controlplane.ControlPlane, dir string) {
	ctx := t.Context()
	const hidden, plain = "pin-4f9a1c77d2e0", "note-83b5e60a9d1f"
	admin := controlplanetest.Admin(t, cp)
	_, err := admin.CoreV1().Secrets("default").Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "pin"}, StringData: map[string]string{"pin": hidden}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = admin.CoreV1().ConfigMaps("default").Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "note"}, Data: map[string]string{"note": plain}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := admin.CoreV1().Secrets("default").Get(ctx, "pin", metav1.GetOptions{})
	if err != nil || string(got.Data["pin"]) != hidden {
		t.Fatalf("read the Secret back: got %q, %v", got.Data["pin"], err)
	}
	// The ConfigMap shows that the search would find a Secret in clear.
	if !contains(t, filepath.Join(dir, "etcd"), plain) {
		t.Fatal("the ConfigMap is not in etcd's files: the test does not see what it should")
	}
	if contains(t, filepath.Join(dir, "etcd"), hidden) {
		t.Error("the Secret is in etcd's files in clear")
	}
	if contains(t, dir, hidden) {
		t.Error("the Secret is in the data directory in clear")
	}
}

// contains searches all files under dir.
func contains(t *testing.T, dir, text string) bool {
	t.Helper()
	found := false
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		found = found || bytes.Contains(b, []byte(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func testControllers(t *testing.T, cp *controlplane.ControlPlane) {
	ctx := t.Context()
	admin := controlplanetest.Admin(t, cp)
	create := func(namespace, name string, owners ...metav1.OwnerReference) *corev1.ConfigMap {
		cm, err := admin.CoreV1().ConfigMaps(namespace).Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: name, OwnerReferences: owners}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return cm
	}
	owner := create("default", "owner")
	create("default", "dependent", metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: owner.Name, UID: owner.UID})
	if err := admin.CoreV1().ConfigMaps("default").Delete(ctx, owner.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the dependent to be collected", func(ctx context.Context) (bool, error) {
		_, err := admin.CoreV1().ConfigMaps("default").Get(ctx, "dependent", metav1.GetOptions{})
		return apierrors.IsNotFound(err), nil
	})

	_, err := admin.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "leaving"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	create("leaving", "content")
	if err := admin.CoreV1().Namespaces().Delete(ctx, "leaving", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the namespace to go", func(ctx context.Context) (bool, error) {
		_, err := admin.CoreV1().Namespaces().Get(ctx, "leaving", metav1.GetOptions{})
		return apierrors.IsNotFound(err), nil
	})
}

// No other user of the machine reads a key or reaches etcd.
func testPermissions(t *testing.T, dir string) {
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o700 {
		t.Errorf("data directory: got mode %o, want 700", info.Mode().Perm())
	}
	for _, name := range []string{"encryption.yaml", "pki/ca.key", "pki/apiserver.key", "pki/sa.key", "apiserver.log", "port"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
			continue
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s: got mode %o, want 600", name, info.Mode().Perm())
		}
	}
}

func testSecondStartIsRefused(t *testing.T, dir string) {
	cp, err := controlplane.Start(t.Context(), controlplane.Config{DataDir: dir})
	if err == nil {
		cp.Stop()
		t.Fatal("two control planes run on one data directory")
	}
	var inUse *controlplane.InUseError
	if !errors.As(err, &inUse) || inUse.PID != os.Getpid() {
		t.Errorf("got %v, want InUseError of process %d", err, os.Getpid())
	}
	if !strings.Contains(err.Error(), fmt.Sprintf("process %d is using it", os.Getpid())) {
		t.Errorf("the message does not name the holder: %v", err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	dir := t.TempDir()
	tests := map[string]struct {
		config controlplane.Config
		want   string
	}{
		"no directory":   {controlplane.Config{}, "data directory: must be given"},
		"a host name":    {controlplane.Config{DataDir: dir, Address: "localhost"}, "address: must be an IP address"},
		"port too large": {controlplane.Config{DataDir: dir, Port: 65536}, "port: 65536 is not in 0..65535"},
		"negative port":  {controlplane.Config{DataDir: dir, Port: -1}, "port: -1 is not in 0..65535"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			cp, err := controlplane.Start(t.Context(), tc.config)
			if err == nil {
				cp.Stop()
				t.Fatal("started")
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q in it", err, tc.want)
			}
		})
	}
}

func eventually(t *testing.T, what string, done wait.ConditionWithContextFunc) {
	t.Helper()
	if err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, 30*time.Second, true, done); err != nil {
		t.Fatalf("wait for %s: %v", what, err)
	}
}

func port(t *testing.T, cp *controlplane.ControlPlane) string {
	t.Helper()
	u, err := url.Parse(cp.URL())
	if err != nil {
		t.Fatal(err)
	}
	return u.Port()
}
