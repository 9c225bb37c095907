package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/terrace-pki/terrace/internal/bench"
)

// TestBench runs each bench small, one after the other on one ledger: the
// numbers are counted, not judged.
func TestBench(t *testing.T) {
	dir := t.TempDir()
	run := func(args ...string) (bench.Result, error) {
		root, out := command("terrace"), &bytes.Buffer{}
		root.SetOut(out)
		root.SetArgs(append([]string{"bench"}, args...))
		if err := root.ExecuteContext(t.Context()); err != nil {
			return bench.Result{}, err
		}
		var r bench.Result
		return r, json.Unmarshal(out.Bytes(), &r)
	}
	for _, c := range []struct {
		args []string
		want int
	}{
		{[]string{"issue", "-n", "300", "--batch", "100"}, 300},
		{[]string{"lookup", "-n", "500"}, 500},
		{[]string{"revoke", "-n", "50"}, 50},
		{[]string{"revoke", "-n", "1000"}, 250}, // what is left
		{[]string{"crl"}, 3},
	} {
		r, err := run(append(c.args, "--dir", dir, "--json", "--shards", "3")...)
		if err != nil {
			t.Fatalf("bench %v: %v", c.args, err)
		}
		if r.Name != c.args[0] || r.Operations != c.want || r.Rate <= 0 || r.Latency.P50 <= 0 || r.Latency.Max < r.Latency.P99 {
			t.Errorf("bench %v: %+v, want %d operations", c.args, r, c.want)
		}
		if (r.Name == "issue") != (r.Ratio > 0) {
			t.Errorf("bench %v: ratio %f", c.args, r.Ratio)
		}
	}
	for want, args := range map[string][]string{"--dir": {"issue"}, "at most 256": {"issue", "--dir", dir, "--batch", "257"}, "at least 1": {"lookup", "--dir", dir, "-n", "0"},
		"bench issue": {"lookup", "--dir", t.TempDir()}} {
		if _, err := run(args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("bench %v: %v, want an error with %q", args, err, want)
		}
	}
}
