package alerts

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// lower are the thresholds in seconds that the running test does not wait for.
// Everything else of the expressions is as it is in production.
var lower = map[string][2]string{
	"TerraceAuditBehind":          {"< 300", "< 5"},
	"TerraceCRLOverdue":           {"> 900", "> 4"},
	"TerraceDirectoryLag":         {"> 600", "> 3"},
	"TerraceDirectoryUnreachable": {"> 900", "> 3"},
	"TerraceFeedConsumerBehind":   {"> 900", "> 3"},
	"TerraceTrustListExpiring":    {"< 6 * 3600", "< 8"},
}

// window matches a range, as in [15m].
var window = regexp.MustCompile(`\[\d+[smhd]\]`)

// hasten brings the alerts' times down for a scrape each second: what must last
// for a while lasts two seconds, what is looked back at is ten seconds.
func (f ruleFile) hasten(t *testing.T) ruleFile {
	t.Helper()
	for g := range f.Groups {
		f.Groups[g].Interval = "1s"
		for i := range f.Groups[g].Rules {
			r := &f.Groups[g].Rules[i]
			r.For, r.Expr = "2s", window.ReplaceAllString(r.Expr, "[10s]")
			if l, ok := lower[r.Alert]; ok {
				if !strings.Contains(r.Expr, l[0]) {
					t.Fatalf("%s has no threshold %q by now; correct the test", r.Alert, l[0])
				}
				r.Expr = strings.Replace(r.Expr, l[0], l[1], 1)
			}
		}
	}
	return f
}

// prometheus is a running one.
type prometheus struct {
	t   *testing.T
	url string
	out *output
}

// startPrometheus scrapes one process as each of the jobs, for it does the work
// of them all, and evaluates rules.
func startPrometheus(t *testing.T, rules ruleFile, target string) *prometheus {
	t.Helper()
	program, dir := debian(t, "prometheus"), t.TempDir()
	rules.write(t, filepath.Join(dir, "rules.yaml"))
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	config := "global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [rules.yaml]\nscrape_configs:\n"
	for _, job := range []string{"ca", "ra", "manager", "validation", "pusher"} {
		config += fmt.Sprintf("  - {job_name: %s, honor_labels: true, metrics_path: %s, static_configs: [{targets: ['%s']}]}\n", job, u.Path, u.Host)
	}
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	p := &prometheus{t: t, url: "http://" + address, out: &output{}}
	cmd := exec.Command(program, "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+address, "--web.console.templates="+dir, "--web.console.libraries="+dir, "--log.level=warn")
	cmd.Stdout, cmd.Stderr = p.out, p.out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
	})
	p.holds("every job is scraped", "count(up == 1) == 5")
	return p
}

// holds waits until a query has a result.
func (p *prometheus) holds(what, query string) {
	p.t.Helper()
	p.until(30*time.Second, what, func() (string, bool) {
		var vector struct {
			Result []struct{} `json:"result"`
		}
		err := p.get("/api/v1/query", url.Values{"query": {query}}, &vector)
		return fmt.Sprintf("%s: %d series, error %v", query, len(vector.Result), err), len(vector.Result) > 0
	})
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// get asks the HTTP API, and returns an error that has what it says.
func (p *prometheus) get(path string, query url.Values, data any) error {
	ctx, cancel := context.WithTimeout(p.t.Context(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+path+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer := struct {
		Status, Error string
		Data          any
	}{Data: data}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s %s: %w", path, resp.Status, err)
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", path, answer.Error)
	}
	return nil
}

// firing are the alerts that fire now, by name, with the labels of one.
func (p *prometheus) firing() (map[string]map[string]string, error) {
	var data struct {
		Alerts []struct {
			State  string            `json:"state"`
			Labels map[string]string `json:"labels"`
		} `json:"alerts"`
	}
	err := p.get("/api/v1/alerts", nil, &data)
	all := map[string]map[string]string{}
	for _, a := range data.Alerts {
		if a.State == "firing" {
			all[a.Labels["alertname"]] = a.Labels
		}
	}
	return all, err
}

// until looks again and again, and fails with what it saw last.
func (p *prometheus) until(limit time.Duration, what string, look func() (saw string, ok bool)) {
	p.t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(200 * time.Millisecond) {
		saw, ok := look()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s: not within %s: %s\n%s", what, limit, saw, p.out)
		}
	}
}
