package validation

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
)

func TestCheckpoint(t *testing.T) {
	text, failure := []byte("terrace/audit/..."), error(nil)
	s := NewServer(ServerConfig{Checkpoints: func(context.Context) ([]byte, error) { return text, failure }})
	url, _ := start(t, s)
	set(t, s, "ns/root", newWorld(t, "").handler) // a service whose base is the root has every other path
	if status, got := get(t, url+CheckpointPath); status != 200 || got != string(text) {
		t.Errorf("%d %q", status, got)
	}
	if status, _ := get(t, url+CheckpointPath+"/x"); status != 404 {
		t.Errorf("below it: %d", status)
	}
	r, err := http.Post(url+CheckpointPath, "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	if r.StatusCode != http.StatusMethodNotAllowed || r.Header.Get("Allow") == "" {
		t.Errorf("POST: %d", r.StatusCode)
	}
	failure = ErrNotFound
	if status, _ := get(t, url+CheckpointPath); status != 404 {
		t.Errorf("without one: %d", status)
	}
	failure = errors.New("disk")
	if status, got := get(t, url+CheckpointPath); status != 503 || strings.Contains(got, "disk") {
		t.Errorf("with a failure: %d %q", status, got)
	}
	without, _ := start(t, NewServer(ServerConfig{}))
	if status, _ := get(t, without+CheckpointPath); status != 404 {
		t.Errorf("without a source: %d", status)
	}
}
