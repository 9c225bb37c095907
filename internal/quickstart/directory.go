package quickstart

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/terrace-pki/terrace/directory/slapd"
	"github.com/terrace-pki/terrace/internal/transport"
)

// directoryBase is spec.baseDN of config/tiers/ministry/directory.yaml.
const directoryBase = "ou=certificates,o=Ministry,c=CN"

// ldapServer is one slapd of the sample tier.
type ldapServer struct {
	name   string // in the Directory, and "directory-<name>" is its Secret
	role   slapd.Role
	writer string // account that writes
	port   int
}

func ldapServers(p Ports) []ldapServer {
	return []ldapServer{{"master", slapd.Master, "publisher", p.Master}, {"slave-1", slapd.Slave, "pusher", p.Slave1}, {"slave-2", slapd.Slave, "pusher", p.Slave2}}
}

func (l ldapServer) address() string { return fmt.Sprintf("127.0.0.1:%d", l.port) }
func (l ldapServer) secret() string  { return "directory-" + l.name }

// readerSecret holds the password of the account with which the master is read.
const readerSecret = "directory-reader"

// directorySecrets are those that the Directory refers to.
func directorySecrets(p Ports) []string {
	names := []string{readerSecret}
	for _, l := range ldapServers(p) {
		names = append(names, l.secret())
	}
	return names
}

// startDirectory starts the master and its slaves; stop ends them.
func (s state) startDirectory(ctx context.Context, p Ports) (stop func() error, err error) {
	var running []*slapd.Process
	stop = func() error {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		var failures []error
		for _, r := range running {
			failures = append(failures, r.Stop(end))
		}
		return errors.Join(failures...)
	}
	servers := ldapServers(p)
	for _, l := range servers {
		password, err := s.secret(l.secret())
		if err != nil {
			return nil, errors.Join(err, stop())
		}
		folder := s.transportFolder("ldap-" + l.name)
		c := slapd.Config{Role: l.role, Dir: s.path("ldap", l.name), Address: l.address(), Base: directoryBase,
			CertFile: folder + "/" + transport.CertFile, KeyFile: folder + "/" + transport.KeyFile, CAFile: folder + "/" + transport.CAFile,
			Accounts:  []slapd.Account{{Name: l.writer, Password: string(password), Access: slapd.Write}},
			Anonymous: slapd.AnonymousByName}
		if l.role == slapd.Master {
			reader, err := s.secret(readerSecret)
			if err != nil {
				return nil, errors.Join(err, stop())
			}
			c.Accounts = append(c.Accounts, slapd.Account{Name: "reader", Password: string(reader), Access: slapd.Replicate})
		} else {
			c.MasterURL = "ldaps://" + servers[0].address()
		}
		process, err := slapd.Start(ctx, c)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("start LDAP server %s: %w", l.name, err), stop())
		}
		running = append(running, process)
	}
	return stop, nil
}
