package ldap_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/terrace-pki/terrace/directory"
	"github.com/terrace-pki/terrace/directory/directorytest"
	"github.com/terrace-pki/terrace/directory/slapd"
	"github.com/terrace-pki/terrace/directory/slapd/slapdtest"
)

func TestServerOnMaster(t *testing.T) {
	directorytest.Server(t, slapdtest.Base, func(t *testing.T) (writer, reader directory.Server) {
		s := slapdtest.Start(t, slapd.Master, nil)
		return s.Client(t, slapdtest.Writer), s.Client(t, slapdtest.Replicator)
	})
}

func TestServerOnSlave(t *testing.T) {
	directorytest.Server(t, slapdtest.Base, func(t *testing.T) (writer, reader directory.Server) {
		s := slapdtest.Start(t, slapd.Slave, nil)
		return s.Client(t, slapdtest.Writer), s.Client(t, slapdtest.Replicator)
	})
}

func TestErrorsHaveClassesAndNoPassword(t *testing.T) {
	s := slapdtest.Start(t, slapd.Slave, nil)
	const secret = "correct-horse"
	remove := []directory.Change{{Kind: directory.Delete, DN: "cn=x," + slapdtest.Base}}
	tests := map[string]struct {
		do   func() error
		want error
		says string
	}{
		"bad password": {func() error {
			_, err := s.Client(t, slapdtest.Writer, secret).Get(t.Context(), []string{slapdtest.Base})
			return err
		}, directory.ErrCredentials, "cn=writer"},
		"empty password": {func() error {
			_, err := s.Client(t, slapdtest.Writer, "").Get(t.Context(), []string{slapdtest.Base})
			return err
		}, directory.ErrCredentials, "empty"},
		"another writer on a slave": {func() error {
			return s.Client(t, slapdtest.Reader).Apply(t.Context(), remove)
		}, directory.ErrReferral, "ldaps://master.example.cn"},
		"server is down": {func() error {
			down := slapdtest.New(t, slapd.Slave, nil)
			_, err := down.Client(t, slapdtest.Writer, secret).Get(t.Context(), []string{slapdtest.Base})
			return err
		}, directory.ErrUnavailable, "connection refused"},
		"no log": {func() error {
			_, err := s.Client(t, slapdtest.Replicator).Changes(t.Context(), "", 1)
			return err
		}, directory.ErrNoLog, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := test.do()
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want %v that says %q", err, test.want, test.says)
			}
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("the password is in %v", err)
			}
		})
	}
}

func TestConnectsAgain(t *testing.T) {
	s := slapdtest.Start(t, slapd.Master, nil)
	c := s.Client(t, slapdtest.Writer)
	if _, err := c.Get(t.Context(), []string{slapdtest.Base}); err != nil {
		t.Fatal(err)
	}
	s.Stop(t)
	if _, err := c.Get(t.Context(), []string{slapdtest.Base}); !errors.Is(err, directory.ErrUnavailable) {
		t.Fatalf("while down: got %v, want ErrUnavailable", err)
	}
	s.Restart(t)
	if _, err := c.Get(t.Context(), []string{slapdtest.Base}); err != nil {
		t.Fatalf("after the restart: %v", err)
	}
}
