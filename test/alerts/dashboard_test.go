package alerts

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// elsewhere matches metrics that one process with everything does not make.
var elsewhere = regexp.MustCompile(`terrace_(replica|link_calls|link_rejected|validation_push|revocation)_`)

// checkDashboards asks what each panel of config/grafana asks: Prometheus takes
// it, and has something to show.
func (s *system) checkDashboards(t *testing.T) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "config", "grafana", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no dashboards: %v", err)
	}
	variables := strings.NewReplacer("$__rate_interval", "30s", "$namespace", ".*")
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var board struct {
			Panels []struct {
				Title   string
				Targets []struct{ Expr string }
			}
		}
		if err := json.Unmarshal(b, &board); err != nil {
			t.Fatal(err)
		}
		for _, p := range board.Panels {
			for _, target := range p.Targets {
				var shown struct {
					Result []struct{} `json:"result"`
				}
				err := s.prometheus.get("/api/v1/query", url.Values{"query": {variables.Replace(target.Expr)}}, &shown)
				if err != nil {
					t.Errorf("%s: panel %q: %v", filepath.Base(file), p.Title, err)
				} else if len(shown.Result) == 0 && !elsewhere.MatchString(target.Expr) {
					t.Errorf("%s: panel %q shows nothing: %s", filepath.Base(file), p.Title, target.Expr)
				}
			}
		}
	}
}
