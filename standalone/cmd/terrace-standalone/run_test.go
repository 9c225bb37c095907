package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// One run of the API server, from an empty directory to a clean stop. What
// uses it is walked by test/scenario.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out bytes.Buffer
	done := make(chan error, 1)
	go func() {
		done <- runFor(ctx, options{dataDir: dir, address: "127.0.0.1"}, &out,
			func(ctx context.Context, _ options, _ *rest.Config, _ string, _ io.Writer) error {
				<-ctx.Done()
				return nil
			})
	}()

	path := filepath.Join(dir, "endpoints.json")
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no endpoints.json within a minute")
		}
		select {
		case err := <-done:
			t.Fatalf("ended: %v", err)
		default:
		}
	}
	var endpoints map[string]string
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &endpoints); err != nil {
		t.Fatal(err)
	}
	if u, err := url.Parse(endpoints["kubernetes"]); err != nil || u.Scheme != "https" {
		t.Errorf("endpoint kubernetes: got %q, want an https URL", endpoints["kubernetes"])
	}

	kubeconfig := filepath.Join(dir, "kubeconfig")
	k, err := clientcmd.LoadFromFile(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	if len(k.Contexts) != len(people) {
		t.Errorf("contexts: got %d, want %d", len(k.Contexts), len(people))
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	version, err := kubernetes.NewForConfigOrDie(cfg).Discovery().ServerVersion()
	if err != nil {
		t.Fatal(err)
	}
	t.Log("server", version.GitVersion)

	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("stop: %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("not stopped within 30 s")
	}
	if !bytes.HasSuffix(out.Bytes(), []byte("stopped\n")) {
		t.Errorf("the last line does not say that it stopped:\n%s", out.Bytes())
	}
}

func TestSupervise(t *testing.T) {
	broken, bad := errors.New("API server broke"), errors.New("user is bad")
	tests := map[string]struct {
		cancel     bool
		failure    error
		userErr    error
		userEnds   bool // by itself
		wantErrors []error
	}{
		"asked to stop":      {cancel: true},
		"user ends":          {userEnds: true, userErr: bad, wantErrors: []error{bad}},
		"API server fails":   {failure: broken, wantErrors: []error{broken}},
		"both report errors": {failure: broken, userErr: bad, wantErrors: []error{broken, bad}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			failed := make(chan error, 1)
			if tc.failure != nil {
				failed <- tc.failure
			}
			if tc.cancel {
				cancel()
			}
			ended := false
			err := supervise(ctx, failed, func(ctx context.Context) error {
				if !tc.userEnds {
					<-ctx.Done()
				}
				ended = true
				return tc.userErr
			})
			if !ended {
				t.Error("returned before the user of the API had ended")
			}
			var got []error
			for _, e := range []error{broken, bad} {
				if errors.Is(err, e) {
					got = append(got, e)
				}
			}
			same := cmp.Comparer(func(a, b error) bool { return a == b })
			if diff := cmp.Diff(tc.wantErrors, got, same); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
}
