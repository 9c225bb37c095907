package apiserver_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/terrace-pki/terrace/test/apiserver"
)

var server *apiserver.Server

func TestMain(m *testing.M) {
	os.Exit(apiserver.Main(m, func(s *apiserver.Server) error {
		server = s
		return apiserver.InstallCRDs(s.Config, "testdata/crd")
	}))
}

func TestSchemaIsEnforced(t *testing.T) {
	c := newClient(t)
	ns := server.Namespace(t)
	if err := c.Create(t.Context(), widget(ns, "positive", 1)); err != nil {
		t.Error(err)
	}
	err := c.Create(t.Context(), widget(ns, "negative", -1))
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "size must not be negative") {
		t.Errorf("negative size: got %v, want the CEL rule's message", err)
	}
}

func TestAnotherUserHasNoRights(t *testing.T) {
	ns := server.Namespace(t)
	c, err := client.New(server.As("li.si", "applicants"), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = c.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "s"}})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `User "li.si"`) {
		t.Errorf("got %v, want li.si to be forbidden", err)
	}
}

func TestWebhook(t *testing.T) {
	hooks, err := apiserver.InstallWebhooks(server.Config, "testdata/webhook")
	if err != nil {
		t.Fatal(err)
	}
	srv := hooks.Server()
	srv.Register("/validate-widget", &webhook.Admission{Handler: admission.HandlerFunc(
		func(_ context.Context, r admission.Request) admission.Response {
			if strings.Contains(string(r.Object.Raw), `"size":13`) {
				return admission.Denied(fmt.Sprintf("%s may not have 13", r.UserInfo.Username))
			}
			return admission.Allowed("")
		})})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- srv.Start(ctx) }()
	stop := sync.OnceFunc(func() {
		if err := hooks.Close(); err != nil {
			t.Error(err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	defer stop()

	c := newClient(t)
	ns := server.Namespace(t)
	// The server may still be opening its port: failurePolicy Fail says so.
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		err := c.Create(t.Context(), widget(ns, "twelve", 12))
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("allowed object: %v", err)
		}
	}
	err = c.Create(t.Context(), widget(ns, "thirteen", 13))
	if err == nil || !strings.Contains(err.Error(), "may not have 13") {
		t.Errorf("got %v, want the webhook's refusal", err)
	}

	stop() // the API server may take a moment to hear of it
	deadline := time.Now().Add(20 * time.Second)
	for err != nil && time.Now().Before(deadline) {
		time.Sleep(50 * time.Millisecond)
		err = c.Create(t.Context(), widget(ns, "thirteen", 13))
	}
	if err != nil {
		t.Errorf("the webhook is still asked after Close: %v", err)
	}
}

func TestInstallRefusesAnEmptyDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := apiserver.InstallCRDs(server.Config, dir); err == nil {
		t.Error("InstallCRDs accepts a directory without CRDs")
	}
	if _, err := apiserver.InstallWebhooks(server.Config, dir); err == nil {
		t.Error("InstallWebhooks accepts a directory without webhooks")
	}
	if err := apiserver.InstallCRDs(server.Config, filepath.Join(dir, "absent")); err == nil {
		t.Error("InstallCRDs accepts a directory that is not there")
	}
}

func TestOpenAndClose(t *testing.T) {
	s, err := apiserver.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.Config.Host == server.Config.Host {
		t.Error("two servers at one address")
	}
	dir := filepath.Dir(filepath.Dir(s.Kubeconfig))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("data left behind in %s: %v", dir, err)
	}
}

func TestOpenFailsClearly(t *testing.T) {
	notAServer := filepath.Join(t.TempDir(), "not-a-server")
	script := "#!/bin/sh\necho 'cannot do that' >&2\nexit 3\n"
	if err := os.WriteFile(notAServer, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct{ binary, want string }{
		"no such binary":        {filepath.Join(t.TempDir(), "absent"), "cd standalone && go build"},
		"ends before its ready": {notAServer, "cannot do that"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv("TERRACE_TESTAPISERVER", tc.binary)
			s, err := apiserver.Open(t.Context())
			if err == nil {
				t.Fatal("opened", s.Close())
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q in it", err, tc.want)
			}
		})
	}
}

func newClient(t *testing.T) client.Client {
	t.Helper()
	c, err := client.New(server.Config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func widget(namespace, name string, size int64) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"size": size}}}
	u.SetGroupVersionKind(schema.GroupVersionKind{Group: "example.test", Version: "v1", Kind: "Widget"})
	u.SetNamespace(namespace)
	u.SetName(name)
	return u
}
