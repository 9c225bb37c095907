package config

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// ours matches the name of a metric of Terrace.
var ours = regexp.MustCompile(`\bterrace_[a-z_]+\b`)

// TestAlertsNameWhatIsThere reads every alert: its metrics are made by some
// process, its runbook exists and names the alert, and each runbook is named.
func TestAlertsNameWhatIsThere(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root, "prometheus", "alerts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var rule struct {
		Spec struct {
			Groups []struct {
				Rules []struct {
					Alert, Expr string
					Labels      map[string]string
					Annotations map[string]string
				}
			}
		}
	}
	if err := yaml.Unmarshal(b, &rule); err != nil {
		t.Fatal(err)
	}
	known, named := metrics(t), map[string]bool{}
	for _, g := range rule.Spec.Groups {
		for _, r := range g.Rules {
			for _, metric := range ours.FindAllString(r.Expr, -1) {
				if !known[metric] {
					t.Errorf("%s: no process makes the metric %s", r.Alert, metric)
				}
			}
			if s := r.Labels["severity"]; s != "critical" && s != "warning" {
				t.Errorf("%s: severity %q, want critical or warning", r.Alert, s)
			}
			runbook := r.Annotations["runbook"]
			text, err := os.ReadFile(filepath.Join("../..", runbook))
			if err != nil {
				t.Errorf("%s: runbook: %v", r.Alert, err)
			} else if !strings.Contains(string(text), r.Alert) {
				t.Errorf("%s: %s does not name it", r.Alert, runbook)
			}
			named[filepath.Base(runbook)] = true
		}
	}
	if len(named) == 0 {
		t.Fatal("there is no alert; the check would pass without looking")
	}
	files, err := filepath.Glob("../../docs/runbooks/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, head := range []string{"## What you see", "## Why", "## What to do", "## When it is over"} {
			if !strings.Contains(string(text), "\n"+head+"\n") {
				t.Errorf("%s has no part %q", file, head)
			}
		}
		for _, metric := range ours.FindAllString(string(text), -1) {
			if !known[metric] {
				t.Errorf("%s: no process makes the metric %s", file, metric)
			}
		}
	}
}

// metrics are the names that the sources register.
func metrics(t *testing.T) map[string]bool {
	t.Helper()
	literal := regexp.MustCompile(`"(terrace_[a-z_]+)"`)
	known := map[string]bool{}
	for _, dir := range []string{"controllers", "directory", "internal", "webhooks"} {
		err := filepath.WalkDir(filepath.Join("../..", dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			b, err := os.ReadFile(path)
			for _, m := range literal.FindAllSubmatch(b, -1) {
				known[string(m[1])] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return known
}
