package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-pki/terrace/internal/bench"
)

// TestBenchDirectory runs it small, twice in one folder: the numbers are counted, not judged.
func TestBenchDirectory(t *testing.T) {
	dir := t.TempDir()
	run := func(args ...string) (*bytes.Buffer, error) {
		root, out := command("terrace"), &bytes.Buffer{}
		root.SetOut(out)
		root.SetArgs(append([]string{"bench", "directory"}, args...))
		return out, root.ExecuteContext(t.Context())
	}
	for range 2 {
		out, err := run("--dir", dir, "-n", "60", "--batch", "25", "--json")
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for d := json.NewDecoder(out); d.More(); {
			var r bench.Result
			if err := d.Decode(&r); err != nil {
				t.Fatal(err)
			}
			names = append(names, r.Name)
			if r.Operations != 60 || r.Rate <= 0 || r.Ratio <= 0 || r.Latency.P50 <= 0 || r.CPU <= 0 || r.Allocations <= 0 {
				t.Errorf("%+v, want 60 operations with rate, ratio, latency and cost", r)
			}
		}
		if diff := cmp.Diff([]string{"publish", "push", "compare"}, names); diff != "" {
			t.Error(diff)
		}
	}
	out, err := run("--dir", dir, "-n", "20")
	if err != nil || strings.Count(out.String(), "plain adds") != 2 {
		t.Errorf("for people: %v, %q", err, out)
	}
	for want, args := range map[string][]string{"--dir": {}, "at least 1": {"--dir", dir, "--batch", "0"}, "want 1 to": {"--dir", dir, "-n", "0"}} {
		if _, err := run(args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want an error with %q", args, err, want)
		}
	}
}
