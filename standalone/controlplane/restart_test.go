package controlplane_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/terrace-pki/terrace/standalone/controlplane"
	"github.com/terrace-pki/terrace/standalone/controlplanetest"
)

// A restart carries on: URL, authority, tokens' key, objects. The directory is
// deeper than a socket address is long.
func TestRestart(t *testing.T) {
	ctx := t.Context()
	dir := filepath.Join(t.TempDir(), strings.Repeat("deep/", 25), "data")
	cfg := controlplane.Config{DataDir: dir, NoFsync: true}

	first := controlplanetest.Start(t, cfg)
	old, err := first.ClientConfig("admin", []string{controlplane.MastersGroup})
	if err != nil {
		t.Fatal(err)
	}
	_, err = clientset(t, old).CoreV1().Secrets("default").Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "kept"}, StringData: map[string]string{"k": "v"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	first.Stop()
	t.Logf("stopped in %s", time.Since(began).Round(time.Millisecond))
	if err := failure(first); err != nil {
		t.Errorf("a stop that was asked for is reported as a failure: %v", err)
	}

	began = time.Now()
	second := controlplanetest.Start(t, cfg)
	t.Logf("restarted in %s", time.Since(began).Round(time.Millisecond))
	if second.URL() != first.URL() {
		t.Errorf("URL: got %s, want %s", second.URL(), first.URL())
	}
	// The client of the first run works on: same authority on both sides.
	got, err := clientset(t, old).CoreV1().Secrets("default").Get(ctx, "kept", metav1.GetOptions{})
	if err != nil {
		t.Fatalf("read with a certificate of the first run: %v", err)
	}
	if string(got.Data["k"]) != "v" {
		t.Errorf("Secret: got %q, want %q", got.Data["k"], "v")
	}

	second.Stop()
	if err := os.Remove(filepath.Join(dir, "encryption.yaml")); err != nil {
		t.Fatal(err)
	}
	third, err := controlplane.Start(ctx, cfg)
	if err == nil {
		third.Stop()
		t.Fatal("started on a store whose encryption key is lost")
	}
	if !strings.Contains(err.Error(), "restore the file") {
		t.Errorf("lost key: got %v", err)
	}
}

// The port is the directory's: when another program has it, that is said, and
// no other port is taken behind the back of those who know the old one.
func TestPortIsTaken(t *testing.T) {
	cp := controlplanetest.Start(t, controlplane.Config{DataDir: t.TempDir(), NoFsync: true})
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "port"), []byte(port(t, cp)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	other, err := controlplane.Start(t.Context(), controlplane.Config{DataDir: dir, NoFsync: true})
	if err == nil {
		other.Stop()
		t.Fatal("started")
	}
	if want := "serving port " + port(t, cp) + ": another program listens on it"; !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q in it", err, want)
	}
}

// Every create that was acknowledged before a SIGKILL is there after it.
func TestKill(t *testing.T) {
	const writers, before = 8, 400
	dir := t.TempDir()
	child := controlplanetest.StartChild(t, dir)

	var acknowledged sync.Map
	var count atomic.Int64
	enough := make(chan struct{})
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("object-%d-%d", w, i)
				_, err := child.Client.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{
					ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"k": strings.Repeat("x", 1024)}}, metav1.CreateOptions{})
				if err != nil {
					return // the child is dead
				}
				acknowledged.Store(name, true)
				if count.Add(1) == before {
					close(enough)
				}
			}
		})
	}
	select {
	case <-enough:
	case <-time.After(time.Minute):
		t.Errorf("only %d creates within a minute", count.Load())
	}
	if err := child.Kill(); err != nil { // while the writers write
		t.Fatal(err)
	}
	writing.Wait()

	cp := controlplanetest.Start(t, controlplane.Config{DataDir: dir})
	list, err := controlplanetest.Admin(t, cp).CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	stored := map[string]bool{}
	for _, cm := range list.Items {
		stored[cm.Name] = true
	}
	acknowledged.Range(func(name, _ any) bool {
		if !stored[name.(string)] {
			t.Errorf("%s was acknowledged and is gone", name)
		}
		return true
	})
	t.Logf("%d acknowledged, %d stored", count.Load(), len(stored))
}

// A child whose parent has died stops by itself and frees its directory.
func TestChildOfADeadParent(t *testing.T) {
	dir := t.TempDir()
	child := controlplanetest.StartChild(t, dir)
	_, err := controlplane.Start(t.Context(), controlplane.Config{DataDir: dir})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("process %d is using it", child.PID())) {
		t.Errorf("start beside the child: got %v, want a refusal that names process %d", err, child.PID())
	}
	if err := child.Abandon(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "etcd.sock")); !os.IsNotExist(err) {
		t.Errorf("etcd's socket is left behind: %v", err)
	}
}

func failure(cp *controlplane.ControlPlane) error {
	select {
	case err := <-cp.Failed():
		return err
	default:
		return nil
	}
}

func clientset(t *testing.T, cfg *rest.Config) *kubernetes.Clientset {
	t.Helper()
	c, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
