package zones

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/directory/slapd"
	"github.com/terrace-pki/terrace/test/zones/zone"
)

// slapdEnv makes the test binary the keeper of a slapd: it names the file of its slapd.Config.
const slapdEnv = "TERRACE_ZONES_SLAPD"

func TestMain(m *testing.M) {
	if file := os.Getenv(slapdEnv); file != "" {
		if err := keepSlapd(file); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// keepSlapd runs slapd until standard input ends or a signal asks for it.
func keepSlapd(file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var c slapd.Config
	if err := json.Unmarshal(b, &c); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	p, err := slapd.Start(ctx, c)
	if err != nil {
		return err
	}
	fmt.Println("slapd answers")
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // the end of the test ends it
		stop()
	}()
	select {
	case <-ctx.Done():
	case <-p.Done():
		return fmt.Errorf("slapd ended by itself")
	}
	end, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return p.Stop(end)
}

// searcher is an account that may search, and its password.
const searcher = "searcher"

// baseDN of the directory in config/tiers/ministry.
const baseDN = "ou=certificates,o=Ministry,c=CN"

// startDirectory runs the master and the slaves, and makes the Secrets with
// the passwords of those who write.
func (tr *tier) startDirectory() {
	tr.t.Helper()
	exe := filepath.Join(tr.net.Shared(), "zones.test")
	if err := copyFile("/proc/self/exe", exe); err != nil {
		tr.t.Fatal(err)
	}
	master := "ldaps://" + tr.net.Address("master") + ":636/"
	publisher, reader, pusher := rand.Text(), rand.Text(), rand.Text()
	for host, c := range map[string]slapd.Config{
		"master":  {Role: slapd.Master, Accounts: []slapd.Account{{Name: "publisher", Password: publisher, Access: slapd.Write}, {Name: "reader", Password: reader, Access: slapd.Replicate}}},
		"slave-1": {Role: slapd.Slave, MasterURL: master, Anonymous: slapd.AnonymousByName, Accounts: []slapd.Account{{Name: "pusher", Password: pusher, Access: slapd.Write}}},
		"slave-2": {Role: slapd.Slave, MasterURL: master, Anonymous: slapd.AnonymousByName, Accounts: []slapd.Account{{Name: "pusher", Password: pusher, Access: slapd.Write}}},
	} {
		c.Accounts = append(c.Accounts, slapd.Account{Name: searcher, Password: searcher, Access: slapd.Read})
		c.Dir, c.Address, c.Base, c.MaxSize = tr.dir(host, "slapd"), tr.net.Address(host)+":636", baseDN, 1<<30
		c.CertFile, c.KeyFile, c.CAFile = tr.dir(host, "transport/tls.crt"), tr.dir(host, "transport/tls.key"), tr.dir(host, "transport/ca.crt")
		b, err := json.Marshal(c)
		if err != nil {
			tr.t.Fatal(err)
		}
		p := tr.net.Start(host, zone.Command{Name: "slapd", Args: []string{exe}, Env: []string{slapdEnv + "=" + tr.net.Put(host, "slapd.json", b)}})
		tr.processes[host] = p
		tr.eventually("slapd of "+host, func() error {
			if p.Ended() {
				tr.t.Fatalf("slapd of %s ended:\n%s", host, p.Log())
			}
			if !strings.Contains(p.Log(), "slapd answers") {
				return fmt.Errorf("%s", p.Log())
			}
			return nil
		})
	}
	tr.typedSecret("directory-master", pkiv1.SecretTypeBindPassword, "password", []byte(publisher))
	tr.typedSecret("directory-reader", pkiv1.SecretTypeBindPassword, "password", []byte(reader))
	tr.typedSecret("directory-slave-1", pkiv1.SecretTypeBindPassword, "password", []byte(pusher))
	tr.typedSecret("directory-slave-2", pkiv1.SecretTypeBindPassword, "password", []byte(pusher))
	ca, err := readTransportCA(tr.links)
	if err != nil {
		tr.t.Fatal(err)
	}
	tr.net.Put("outside", "ca.crt", ca)
	tr.net.Put("master", "ca.crt", ca)
}

// ldapsearch asks a server by OpenLDAP's own client, from a host, and returns
// the values of userCertificate;binary of what it finds.
func (tr *tier) ldapsearch(from, server, filter string) ([][]byte, error) {
	out, err := tr.net.Run(from, zone.Command{Name: "ldapsearch", Env: []string{"LDAPTLS_CACERT=" + tr.dir(from, "ca.crt"), "LDAPTLS_REQCERT=demand"},
		Args: []string{"/usr/bin/ldapsearch", "-LLL", "-x", "-o", "nettimeout=5", "-o", "ldif-wrap=no", "-H", "ldaps://" + tr.net.Address(server) + ":636",
			"-D", slapd.AccountDN(searcher), "-w", searcher, "-b", baseDN, filter, "userCertificate;binary"}})
	if err != nil {
		return nil, err
	}
	var certificates [][]byte
	for line := range strings.Lines(string(out)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "userCertificate;binary:: "); ok {
			der, err := base64.StdEncoding.DecodeString(value)
			if err != nil {
				return nil, err
			}
			certificates = append(certificates, der)
		}
	}
	return certificates, nil
}
