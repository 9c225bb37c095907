// Package alerts proves the alerts of config/prometheus: each fires when it
// should and is quiet when it should, by promtool; and a real Prometheus, which
// scrapes a running tier, shows them when things are broken one by one.
package alerts

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const root = "../.."

// ruleFile is what Prometheus reads: the spec of a PrometheusRule.
type ruleFile struct {
	Groups []ruleGroup `json:"groups"`
}

type ruleGroup struct {
	Name     string `json:"name"`
	Interval string `json:"interval,omitempty"`
	Rules    []rule `json:"rules"`
}

type rule struct {
	Alert       string            `json:"alert"`
	Expr        string            `json:"expr"`
	For         string            `json:"for,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// readRules returns the groups of config/prometheus/alerts.yaml.
func readRules(t *testing.T) ruleFile {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, "config", "prometheus", "alerts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var object struct {
		Spec ruleFile `json:"spec"`
	}
	if err := yaml.Unmarshal(b, &object); err != nil {
		t.Fatal(err)
	}
	if len(object.Spec.Groups) == 0 {
		t.Fatal("alerts.yaml has no groups; the tests would pass without looking")
	}
	return object.Spec
}

// write makes a rules file of what Prometheus and promtool read.
func (f ruleFile) write(t *testing.T, path string) {
	t.Helper()
	b, err := yaml.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// names are those of all alerts.
func (f ruleFile) names() map[string]bool {
	all := map[string]bool{}
	for _, g := range f.Groups {
		for _, r := range g.Rules {
			all[r.Alert] = true
		}
	}
	return all
}

// debian finds a program of Debian's package prometheus.
func debian(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if errors.Is(err, exec.ErrNotFound) {
		t.Fatalf("%s is not installed: run make test, or hack/packages.sh test", name)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestEachAlertFiresAndIsQuiet runs the unit tests in testdata, and looks that
// every alert has one in which it fires and one in which it does not.
func TestEachAlertFiresAndIsQuiet(t *testing.T) {
	t.Parallel() // the other one waits for the most
	promtool, dir, rules := debian(t, "promtool"), t.TempDir(), readRules(t)
	rules.write(t, filepath.Join(dir, "rules.yaml"))
	if out, err := exec.Command(promtool, "check", "rules", filepath.Join(dir, "rules.yaml")).CombinedOutput(); err != nil {
		t.Fatalf("promtool check rules: %v\n%s", err, out)
	}
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	fires, quiet := map[string]bool{}, map[string]bool{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		countTests(t, b, fires, quiet)
		copied := filepath.Join(dir, "test-"+filepath.Base(file)) // beside the rules that it names
		if err := os.WriteFile(copied, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(promtool, "test", "rules", copied).CombinedOutput(); err != nil {
			t.Errorf("promtool test rules %s: %v\n%s", file, err, bytes.TrimSpace(out))
		}
	}
	for name := range rules.names() {
		if !fires[name] || !quiet[name] {
			t.Errorf("%s: a test in which it fires: %t, one in which it is quiet: %t, want both", name, fires[name], quiet[name])
		}
	}
	for name := range fires {
		if !rules.names()[name] {
			t.Errorf("%s is tested and is no alert", name)
		}
	}
}

// countTests notes which alerts a file of unit tests expects, and which not.
func countTests(t *testing.T, file []byte, fires, quiet map[string]bool) {
	t.Helper()
	var tests struct {
		Tests []struct {
			Name      string `json:"name"`
			AlertTest []struct {
				Alert    string           `json:"alertname"`
				Expected []map[string]any `json:"exp_alerts"`
			} `json:"alert_rule_test"`
		} `json:"tests"`
	}
	if err := yaml.Unmarshal(file, &tests); err != nil {
		t.Fatal(err)
	}
	for _, test := range tests.Tests {
		for _, a := range test.AlertTest {
			into, verb := quiet, " is quiet: "
			if len(a.Expected) > 0 {
				into, verb = fires, " fires: "
			}
			into[a.Alert] = true
			if !strings.HasPrefix(test.Name, a.Alert+verb) {
				t.Errorf("test %q: want a name that begins with %q", test.Name, a.Alert+verb)
			}
		}
	}
}
