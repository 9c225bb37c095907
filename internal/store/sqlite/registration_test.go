package sqlite

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/terrace-pki/terrace/internal/registration"
	"github.com/terrace-pki/terrace/internal/registration/registrationtest"
)

func TestRegistration(t *testing.T) {
	registrationtest.Store(t, func(t *testing.T) registrationtest.Open {
		path := filepath.Join(t.TempDir(), "registration.db")
		return func(t *testing.T) registration.Store {
			t.Helper()
			s, err := OpenRegistration(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
			return s
		}
	})
}

// What was recorded is not changed, whatever the code does.
func TestRegistrationSchemaRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registration.db")
	s, err := OpenRegistration(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	insert := `INSERT INTO opened (kind, namespace, name, digest, applicant, at) VALUES ('K', 'n', 'x', zeroblob(32), 'a', 1);
		INSERT INTO approvals (namespace, name, opened, approver, decision, at) VALUES ('n', 'y', 1, 'b', 'Approve', 1);`
	if err := execute(t, path, insert); err != nil {
		t.Fatal(err)
	}
	for name, statement := range map[string]string{
		"applicant changed":   `UPDATE opened SET applicant = 'z'`,
		"request gone":        `DELETE FROM opened`,
		"decision changed":    `UPDATE approvals SET decision = 'Deny'`,
		"decision gone":       `DELETE FROM approvals`,
		"unknown decision":    `INSERT INTO approvals (namespace, name, opened, approver, decision, at) VALUES ('n', 'z', 1, 'c', 'Perhaps', 1)`,
		"person decides anew": `INSERT INTO approvals (namespace, name, opened, approver, decision, at) VALUES ('n', 'z', 1, 'b', 'Deny', 1)`,
	} {
		if err := execute(t, path, statement); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestOpenRegistrationRefuses(t *testing.T) {
	if _, err := OpenRegistration(t.Context(), ""); err == nil || !strings.HasPrefix(err.Error(), "sqlite: open registration store: ") {
		t.Errorf("error %v", err)
	}
}
