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
		{[]string{"ocsp", "-n", "600"}, 600},
		{[]string{"ocsp", "-n", "700", "--mode", "live"}, 700}, // by three hashes
		{[]string{"ocsp", "-n", "901", "--mode", "live"}, 0},   // more than there are
		{[]string{"ocsp", "-n", "100", "--mode", "nonce", "--callers", "4"}, 100},
		{[]string{"ocsp", "-n", "5", "--mode", "revoked"}, 5},
		{[]string{"revoke", "-n", "50"}, 50},
		{[]string{"revoke", "-n", "1000"}, 245}, // what is left
		{[]string{"crl"}, 3},
		{[]string{"crl", "--deltas"}, 3},
	} {
		r, err := run(append(c.args, "--dir", dir, "--json", "--shards", "3")...)
		if c.want == 0 && err != nil && strings.Contains(err.Error(), "certificates for 900") {
			continue
		}
		if err != nil {
			t.Fatalf("bench %v: %v", c.args, err)
		}
		name := c.args[0]
		if name == "crl" && len(c.args) > 1 {
			name = "crl-delta"
		}
		if name == "ocsp" {
			name = "ocsp-cached"
			if len(c.args) > 3 {
				name = "ocsp-" + c.args[4]
			}
		}
		if r.Name != name || r.Operations != c.want || r.Rate <= 0 || r.Latency.P50 <= 0 || r.Latency.Max < r.Latency.P99 {
			t.Errorf("bench %v: %+v, want %d operations", c.args, r, c.want)
		}
		if compared := r.Name == "issue" || r.Name == "ocsp-cached" || r.Name == "ocsp-live" || r.Name == "ocsp-nonce"; compared != (r.Ratio > 0) {
			t.Errorf("bench %v: ratio %f", c.args, r.Ratio)
		}
	}
	for want, args := range map[string][]string{"--dir": {"issue"}, "at most 256": {"issue", "--dir", dir, "--batch", "257"}, "at least 1": {"lookup", "--dir", dir, "-n", "0"},
		"want one of cached, live": {"ocsp", "--dir", dir, "--mode", "fast"},
		"bench issue":              {"lookup", "--dir", t.TempDir()}} {
		if _, err := run(args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("bench %v: %v, want an error with %q", args, err, want)
		}
	}
}
