package slapd_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"
	"github.com/terrace-pki/terrace/directory"
	"github.com/terrace-pki/terrace/directory/directorytest"
	"github.com/terrace-pki/terrace/directory/slapd"
	"github.com/terrace-pki/terrace/directory/slapd/slapdtest"
)

const base = slapdtest.Base

func attribute(typ string, values ...string) directory.Attribute {
	a := directory.Attribute{Type: typ}
	for _, v := range values {
		a.Values = append(a.Values, []byte(v))
	}
	return a
}

// fill writes a tree with two CAs of three devices.
func fill(t *testing.T, s directory.Server) {
	t.Helper()
	changes := []directory.Change{{Kind: directory.Add, DN: base, Attributes: []directory.Attribute{attribute("objectClass", "domain"), attribute("dc", "example")}}}
	for _, ou := range []string{"a", "b"} {
		changes = append(changes, directory.Change{Kind: directory.Add, DN: "ou=" + ou + "," + base,
			Attributes: []directory.Attribute{attribute("objectClass", "organizationalUnit", "pkiCA"), attribute("ou", ou)}})
		for i := range 3 {
			serial := fmt.Sprintf("0%d", i)
			changes = append(changes, directory.Change{Kind: directory.Add, DN: "serialNumber=" + serial + ",ou=" + ou + "," + base,
				Attributes: []directory.Attribute{attribute("objectClass", "device", "pkiUser"), attribute("cn", "someone"), attribute("serialNumber", serial)}})
		}
	}
	if err := s.Apply(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
}

func connect(t *testing.T, s *slapdtest.Server) *goldap.Conn {
	t.Helper()
	pool := x509.NewCertPool()
	ca, err := os.ReadFile(s.Config.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	pool.AppendCertsFromPEM(ca)
	conn, err := goldap.DialURL(s.Process.URL(), goldap.DialWithTLSConfig(&tls.Config{RootCAs: pool}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestAnonymousReadsByNameAndListsNothing(t *testing.T) {
	for _, role := range []slapd.Role{slapd.Master, slapd.Slave} {
		t.Run(string(role), func(t *testing.T) {
			s := slapdtest.Start(t, role, func(c *slapd.Config) { c.Anonymous = slapd.AnonymousByName })
			fill(t, s.Client(t, slapdtest.Writer))
			names := []string{base, "ou=a," + base, "serialNumber=01,ou=a," + base, "cn=nobody," + base}
			got, err := s.Client(t, "").Get(t.Context(), names)
			if err != nil || got[0] == nil || got[1] == nil || got[2] == nil || got[3] != nil {
				t.Fatalf("by name: got %v, %v; want the first three", got, err)
			}
			if n := len(got[2].Attributes); n != 3 {
				t.Errorf("by name: %d attributes, want 3", n)
			}
			conn := connect(t, s)
			for _, scope := range []int{goldap.ScopeSingleLevel, goldap.ScopeWholeSubtree, goldap.ScopeChildren} {
				for _, b := range []string{base, "ou=a," + base} {
					for _, filter := range []string{"(objectClass=*)", "(objectClass=device)", "(objectClass=pkiUser)", "(serialNumber=01)", "(serialNumber=*)", "(cn=someone)",
						"(!(cn=x))", "(&)", "(|(serialNumber=01)(objectClass=pkiUser))", "(entryDN:dnSubtreeMatch:=" + base + ")", "(createTimestamp>=20000101000000Z)", "(entryUUID=*)", "(hasSubordinates=FALSE)"} {
						for _, controls := range [][]goldap.Control{nil, {goldap.NewControlPaging(1)}} {
							r, err := conn.Search(goldap.NewSearchRequest(b, scope, goldap.NeverDerefAliases, 1, 0, false, filter, []string{"*"}, controls))
							if r != nil && len(r.Entries) > 0 {
								t.Errorf("scope %d of %s with %s: got %s, %v; want nothing", scope, b, filter, r.Entries[0].DN, err)
							}
						}
					}
				}
			}
			if err := s.Client(t, "").Apply(t.Context(), []directory.Change{{Kind: directory.Delete, DN: names[2]}}); err == nil {
				t.Error("an anonymous client deleted an entry")
			}
			for _, private := range []string{"cn=accounts", slapd.AccountDN(slapdtest.Writer), slapd.LogBase} {
				if got, err := s.Client(t, "").Get(t.Context(), []string{private}); err == nil && got[0] != nil {
					t.Errorf("anonymous reads %s", private)
				}
			}
		})
	}
}

func TestAccess(t *testing.T) {
	s := slapdtest.Start(t, slapd.Master, nil)
	fill(t, s.Client(t, slapdtest.Writer))
	name := "serialNumber=01,ou=a," + base
	change := []directory.Change{{Kind: directory.Modify, DN: name, Attributes: []directory.Attribute{attribute("l", "x")}}}
	tests := map[string]struct{ reads, writes, logs bool }{
		slapdtest.Writer: {reads: true, writes: true}, slapdtest.Replicator: {reads: true, logs: true},
		slapdtest.Reader: {reads: true}, "": {},
	}
	for account, want := range tests {
		c := s.Client(t, account)
		got, err := c.Get(t.Context(), []string{name, slapd.LogBase, slapd.AccountDN(slapdtest.Writer)})
		if account == "" {
			if err == nil && got[0] != nil {
				t.Error("without AnonymousByName: an anonymous client reads")
			}
			continue
		}
		if err != nil || (got[0] != nil) != want.reads || (got[1] != nil) != want.logs || got[2] != nil {
			t.Errorf("%s: got %v, %v; want %+v", account, got, err, want)
		}
		if err := c.Apply(t.Context(), change); (err == nil) != want.writes || (!want.writes && !errors.Is(err, directory.ErrCredentials)) {
			t.Errorf("%s: write: %v; want %t", account, err, want.writes)
		}
	}
}

func TestSlaveRefersOtherWriters(t *testing.T) {
	s := slapdtest.Start(t, slapd.Slave, func(c *slapd.Config) { c.Anonymous = slapd.AnonymousByName })
	fill(t, s.Client(t, slapdtest.Writer))
	name := "serialNumber=01,ou=a," + base
	for _, account := range []string{slapdtest.Reader, slapdtest.Replicator} {
		for _, c := range []directory.Change{
			{Kind: directory.Add, DN: "cn=x," + base, Attributes: []directory.Attribute{attribute("objectClass", "device"), attribute("cn", "x")}},
			{Kind: directory.Modify, DN: name, Attributes: []directory.Attribute{attribute("l", "x")}},
			{Kind: directory.Delete, DN: name},
		} {
			err := s.Client(t, account).Apply(t.Context(), []directory.Change{c})
			if !errors.Is(err, directory.ErrReferral) || !strings.Contains(err.Error(), "ldaps://master.example.cn/") {
				t.Errorf("%s, %s: got %v, want a referral to the master", account, c.Kind, err)
			}
		}
	}
	conf, err := os.ReadFile(filepath.Join(s.Config.Dir, "slapd.conf"))
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"syncrepl", "chain", "back_ldap", "overlay"} {
		if bytes.Contains(conf, []byte(word)) {
			t.Errorf("the configuration of a slave has %q: it must not connect to anything", word)
		}
	}
}

func TestTooLargeNamesTheLimit(t *testing.T) {
	s := slapdtest.Start(t, slapd.Slave, nil)
	// An anonymous client has slapd's default limit.
	err := s.Client(t, "").Apply(t.Context(), []directory.Change{{Kind: directory.Modify, DN: base, Attributes: []directory.Attribute{attribute("l", strings.Repeat("x", 5<<20))}}})
	if !errors.Is(err, directory.ErrTooLarge) || !strings.Contains(err.Error(), "olcSockbufMaxIncoming") {
		t.Errorf("got %v, want ErrTooLarge that names olcSockbufMaxIncoming", err)
	}
}

func TestPlainLDAPIsNotSpoken(t *testing.T) {
	s := slapdtest.Start(t, slapd.Master, nil)
	conn, err := goldap.DialURL("ldap://" + s.Config.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetTimeout(2 * time.Second)
	if err := conn.Bind(slapd.AccountDN(slapdtest.Writer), slapdtest.Writer); err == nil {
		t.Error("a bind without TLS succeeds")
	}
}

func TestOneServerForADir(t *testing.T) {
	s := slapdtest.Start(t, slapd.Master, nil)
	if _, err := slapd.Start(t.Context(), s.Config); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second server: got %v", err)
	}
	if err := slapd.Load(t.Context(), s.Config, strings.NewReader("")); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("load while it runs: got %v", err)
	}
	other := slapdtest.New(t, slapd.Master, func(c *slapd.Config) { c.Address = s.Config.Address })
	if p, err := slapd.Start(t.Context(), other.Config); err == nil {
		p.Stop(t.Context())
		t.Error("a second server on the address: no error")
	}
}

func TestStoppedServerKeepsItsEntriesAndTakesNewPasswords(t *testing.T) {
	s := slapdtest.Start(t, slapd.Master, nil)
	fill(t, s.Client(t, slapdtest.Writer))
	done := s.Process.Done()
	s.Stop(t)
	select {
	case <-done:
	default:
		t.Error("Done is open after Stop")
	}
	for i := range s.Config.Accounts {
		s.Config.Accounts[i].Password += "-2"
	}
	s.Restart(t)
	if _, err := s.Client(t, slapdtest.Writer).Get(t.Context(), []string{base}); !errors.Is(err, directory.ErrCredentials) {
		t.Errorf("with the earlier password: got %v", err)
	}
	got, err := s.Client(t, slapdtest.Writer, slapdtest.Writer+"-2").Get(t.Context(), []string{"serialNumber=01,ou=a," + base})
	if err != nil || got[0] == nil {
		t.Errorf("after the restart: got %v, %v", got, err)
	}
}

// TestEndsWithItsParent starts a process that starts slapd, and kills it.
func TestEndsWithItsParent(t *testing.T) {
	if address := os.Getenv("SLAPD_TEST_DIR"); address != "" {
		s := slapdtest.Start(t, slapd.Master, nil)
		if err := os.WriteFile(filepath.Join(address, "address"), []byte(s.Config.Address), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		select {}
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestEndsWithItsParent$")
	cmd.Env = append(os.Environ(), "SLAPD_TEST_DIR="+dir, "TMPDIR="+dir)
	out, err := cmd.CombinedOutput()
	address, readErr := os.ReadFile(filepath.Join(dir, "address"))
	if readErr != nil {
		t.Fatalf("%v, %v: %s", err, readErr, out)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", string(address))
		if err != nil {
			return
		}
		conn.Close()
		if time.Now().After(deadline) {
			t.Fatal("slapd still answers after its parent was killed")
		}
	}
}

func TestLoadThenPush(t *testing.T) {
	const n = 10_000
	ca := directorytest.NewCA(t, "businessca-province-g1")
	layout, err := directory.NewLayout(directory.LayoutConfig{Base: base, Naming: directory.NamingSubject, Audience: directory.Public})
	if err != nil {
		t.Fatal(err)
	}
	desired := func(_ context.Context, yield func(directory.Publication) error) error {
		if err := yield(ca.Authority(nil)); err != nil {
			return err
		}
		for i := range n {
			if err := yield(ca.Publication(t, i+1, directory.StateIssued)); err != nil {
				return err
			}
		}
		return nil
	}
	var ldif bytes.Buffer
	if written, err := directory.WriteLDIF(t.Context(), &ldif, layout.Entries(desired)); err != nil || written != n+2 {
		t.Fatalf("WriteLDIF: %d, %v", written, err)
	}
	master, slave := slapdtest.New(t, slapd.Master, nil), slapdtest.New(t, slapd.Slave, nil)
	for _, s := range []*slapdtest.Server{master, slave} {
		if err := slapd.Load(t.Context(), s.Config, bytes.NewReader(ldif.Bytes())); err != nil {
			t.Fatal(err)
		}
		s.Restart(t)
	}
	pusher, err := directory.NewPusher(directory.PusherConfig{Base: base, Master: master.Client(t, slapdtest.Replicator),
		Slaves: []directory.Slave{{Name: "s", Server: slave.Client(t, slapdtest.Writer)}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := pusher.Push(t.Context(), "s"); err != nil {
		t.Fatal(err)
	}
	if got := pusher.Status()[0]; got.Pushed != 0 || !got.InSync {
		t.Errorf("after loading both: got %+v, want nothing to push", got)
	}
	late := ca.Publication(t, n+1, directory.StateIssued)
	if _, err := directory.NewPublisher(layout, master.Client(t, slapdtest.Writer)).Publish(t.Context(), []directory.Publication{late}); err != nil {
		t.Fatal(err)
	}
	if err := pusher.Push(t.Context(), "s"); err != nil {
		t.Fatal(err)
	}
	w, err := layout.Want(late)
	if err != nil {
		t.Fatal(err)
	}
	got, err := slave.Client(t, slapdtest.Reader).Get(t.Context(), []string{w.DN})
	if err != nil || got[0] == nil || !got[0].Equal(*w.Entry) {
		t.Errorf("incremental push: got %v, %v", got, err)
	}
	if s := pusher.Status()[0]; s.Pushed != 1 || s.Drift.Total() != 0 {
		t.Errorf("incremental push: got %+v, want one entry and no drift", s)
	}
	// Loading again replaces, and bad LDIF changes nothing.
	slave.Stop(t)
	if err := slapd.Load(t.Context(), slave.Config, strings.NewReader("dn: cn=x,dc=elsewhere\ncn: x\n")); err == nil {
		t.Error("bad LDIF was loaded")
	}
	slave.Restart(t)
	if got, err := slave.Client(t, slapdtest.Reader).Get(t.Context(), []string{w.DN}); err != nil || got[0] == nil {
		t.Errorf("after bad LDIF: got %v, %v", got, err)
	}
}

func TestBadConfig(t *testing.T) {
	good := slapdtest.New(t, slapd.Slave, nil).Config
	tests := map[string]struct {
		change func(*slapd.Config)
		says   string
	}{
		"role":       {func(c *slapd.Config) { c.Role = "x" }, "role"},
		"dir":        {func(c *slapd.Config) { c.Dir = "x" }, "absolute"},
		"address":    {func(c *slapd.Config) { c.Address = "x" }, "address"},
		"base":       {func(c *slapd.Config) { c.Base = "x" }, "base"},
		"line break": {func(c *slapd.Config) { c.CertFile = "x\nrootpw y" }, "control character"},
		"no master":  {func(c *slapd.Config) { c.MasterURL = "ldap://x" }, "master URL"},
		"two pushers": {func(c *slapd.Config) {
			c.Accounts = append(c.Accounts, slapd.Account{Name: "y", Password: "y", Access: slapd.Write})
		}, "one account"},
		"account twice":  {func(c *slapd.Config) { c.Accounts = append(c.Accounts, c.Accounts[0]) }, "twice"},
		"account name":   {func(c *slapd.Config) { c.Accounts = []slapd.Account{{Name: "a,b", Password: "y", Access: slapd.Write}} }, "name"},
		"empty password": {func(c *slapd.Config) { c.Accounts = []slapd.Account{{Name: "a", Access: slapd.Write}} }, "password"},
	}
	for name, test := range tests {
		c := good
		c.Accounts = append([]slapd.Account(nil), good.Accounts...)
		test.change(&c)
		if p, err := slapd.Start(t.Context(), c); err == nil || !strings.Contains(err.Error(), test.says) {
			if p != nil {
				p.Stop(t.Context())
			}
			t.Errorf("%s: got %v, want an error that says %q", name, err, test.says)
		}
	}
}
