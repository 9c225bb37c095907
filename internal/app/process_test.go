package app

import (
	"context"
	"testing"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/terrace-pki/terrace/test/apiserver"
)

// Identity values stand in requesters' namespaces, while Secrets are watched in
// tiers' namespaces alone: both are read.
func TestSecretsAreReadWhereTheyAreNotWatched(t *testing.T) {
	server := apiserver.Start(t)
	watched, other := server.Namespace(t), server.Namespace(t)
	mgr, err := newManager(server.Config, managerOptions{secretNamespaces: []string{watched}}, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	for _, namespace := range []string{watched, other} {
		s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "s"}, Data: map[string][]byte{"k": []byte("v")}}
		if err := mgr.GetClient().Create(ctx, s); err != nil {
			t.Fatal(err)
		}
		var got corev1.Secret
		if err := mgr.GetClient().Get(ctx, client.ObjectKeyFromObject(s), &got); err != nil || string(got.Data["k"]) != "v" {
			t.Errorf("Secret of namespace %s: %v", namespace, err)
		}
	}
}
