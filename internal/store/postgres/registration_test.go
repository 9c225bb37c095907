package postgres

import (
	"strings"
	"testing"

	"github.com/terrace-pki/terrace/internal/registration"
	"github.com/terrace-pki/terrace/internal/registration/registrationtest"
	"github.com/terrace-pki/terrace/internal/store/postgres/postgrestest"
)

func TestRegistration(t *testing.T) {
	registrationtest.Store(t, func(t *testing.T) registrationtest.Open {
		dsn := postgrestest.Start(t)
		return func(t *testing.T) registration.Store {
			t.Helper()
			s, err := OpenRegistration(t.Context(), dsn)
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
	dsn := postgrestest.Start(t)
	s, err := OpenRegistration(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	db := direct(t, dsn)
	for name, statement := range map[string]string{
		"request changed":  `UPDATE opened SET applicant = 'z'`,
		"request gone":     `DELETE FROM opened`,
		"decision changed": `UPDATE approvals SET decision = 'Deny'`,
		"decision gone":    `DELETE FROM approvals`,
		"all gone":         `TRUNCATE approvals`,
	} {
		if _, err := db.Exec(statement); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestOpenRegistrationHidesThePassword(t *testing.T) {
	_, err := OpenRegistration(t.Context(), "postgres://terrace:s3cret@127.0.0.1:1/ra?sslmode=disable&connect_timeout=2")
	if err == nil || !strings.HasPrefix(err.Error(), "postgres: open registration store: ") || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("error %v", err)
	}
}
