// Package layering checks that packages import only what the architecture
// allows (docs/architecture.md, Packages).
package layering

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/terrace-pki/terrace/"

// drivers are importable by the named packages alone.
var drivers = map[string][]string{
	"github.com/mattn/go-sqlite3":     {"internal/store/sqlitefile"},
	"github.com/jackc/pgx/v5":         {"internal/store/postgres"},
	"github.com/miekg/pkcs11":         {"internal/device/pkcs11", "hack/softtoken/softtokentest"},
	"k8s.io/":                         {"api/", "controllers/", "webhooks", "internal/app", "internal/quickstart", "cmd/", "test/"},
	"sigs.k8s.io/":                    {"api/", "controllers/", "webhooks", "internal/app", "internal/quickstart", "internal/link", "internal/limits", "cmd/", "test/"},
	"net/http":                        {"internal/validation", "internal/app", "internal/bench", "internal/quickstart", "internal/link", "webhooks", "cmd/", "test/"},
	module + "internal/store/":        {"internal/store/", "internal/app"},
	module + "internal/device/pkcs11": {"internal/app", "internal/quickstart", "cmd/"},
	module + "internal/device/sdf":    {"internal/app"},
	module + "controllers/":           {"controllers/", "webhooks", "internal/app", "internal/quickstart", "test/"},
	module + "webhooks":               {"internal/app", "test/"},
	module + "internal/app":           {"internal/quickstart", "cmd/", "test/"},
	module + "api/":                   {"api/", "controllers/", "webhooks", "internal/app", "internal/quickstart", "cmd/", "test/"},
}

// leaves import nothing else of Terrace.
var leaves = []string{"internal/pki", "internal/device", "api/v1alpha1"}

type pkg struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p pkg
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 10 {
		t.Fatalf("go list found %d packages; the check would pass without looking", len(all))
	}
	return all
}

func TestImportsFollowTheLayers(t *testing.T) {
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		for _, imp := range p.Imports {
			if why := forbidden(name, imp); why != "" {
				t.Errorf("%s imports %s: %s", name, imp, why)
			}
		}
	}
}

func TestForbiddenImportIsFound(t *testing.T) {
	for _, c := range [][2]string{
		{"internal/authority", "k8s.io/api/core/v1"},
		{"internal/authority", module + "internal/store/sqlite"},
		{"internal/pki", module + "internal/lint"},
		{"controllers/businessca", "github.com/jackc/pgx/v5"},
	} {
		if forbidden(c[0], c[1]) == "" {
			t.Errorf("%s importing %s is not found", c[0], c[1])
		}
	}
}

func forbidden(name, imp string) string {
	for prefix, allowed := range drivers {
		if strings.HasPrefix(imp, prefix) && !hasPrefix(name, allowed) {
			return "only " + strings.Join(allowed, ", ") + " may"
		}
	}
	for _, leaf := range leaves {
		if name == leaf && strings.HasPrefix(imp, module) {
			return "a leaf imports nothing else of Terrace"
		}
	}
	return ""
}

func hasPrefix(name string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}
