package controlplanetest

import (
	"testing"

	"k8s.io/client-go/kubernetes"

	"github.com/terrace-pki/terrace/standalone/controlplane"
)

// Start runs a control plane in this process until the test ends.
func Start(t testing.TB, cfg controlplane.Config) *controlplane.ControlPlane {
	t.Helper()
	cp, err := controlplane.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cp.Stop)
	return cp
}

// Client is a client of cp for the user in the groups.
func Client(t testing.TB, cp *controlplane.ControlPlane, user string, groups ...string) *kubernetes.Clientset {
	t.Helper()
	cfg, err := cp.ClientConfig(user, groups)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// Admin is a client of cp that may do everything.
func Admin(t testing.TB, cp *controlplane.ControlPlane) *kubernetes.Clientset {
	t.Helper()
	return Client(t, cp, admin.User, admin.Groups...)
}
