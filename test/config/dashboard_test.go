package config

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDashboardsNameWhatIsThere reads each dashboard: its kustomization names it,
// its panels have titles, numbers and places of their own, and some process makes
// what they show. That the queries can be run is proved by test/alerts.
func TestDashboardsNameWhatIsThere(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "grafana", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no dashboards: %v", err)
	}
	kustomization, err := os.ReadFile(filepath.Join(root, "grafana", "kustomization.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	known, uids := metrics(t), map[string]string{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var board struct {
			UID, Title string
			Panels     []struct {
				ID      int
				Title   string
				GridPos struct{ X, Y, W, H int }
				Targets []struct{ Expr string }
			}
		}
		if err := json.Unmarshal(b, &board); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		name := filepath.Base(file)
		if !strings.Contains(string(kustomization), name) {
			t.Errorf("%s: kustomization.yaml does not name it", name)
		}
		if board.UID == "" || board.Title == "" || uids[board.UID] != "" {
			t.Errorf("%s: uid %q (also of %q), title %q: want its own", name, board.UID, uids[board.UID], board.Title)
		}
		uids[board.UID] = name
		ids, places := map[int]bool{}, map[[2]int]bool{}
		for _, p := range board.Panels {
			place := [2]int{p.GridPos.X, p.GridPos.Y}
			if p.Title == "" || len(p.Targets) == 0 || ids[p.ID] || places[place] || p.GridPos.X+p.GridPos.W > 24 {
				t.Errorf("%s: panel %d %q: want a title, a query, a number and a place of its own", name, p.ID, p.Title)
			}
			ids[p.ID], places[place] = true, true
			for _, target := range p.Targets {
				for _, metric := range ours.FindAllString(target.Expr, -1) {
					if !known[strings.TrimSuffix(metric, "_bucket")] {
						t.Errorf("%s: panel %q: no process makes the metric %s", name, p.Title, metric)
					}
				}
			}
		}
	}
}
