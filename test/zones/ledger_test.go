package zones

import (
	"crypto/rand"
	"fmt"

	"github.com/terrace-pki/terrace/test/zones/zone"
)

// postgresBin is where Debian's package postgresql-15 has its programs.
const postgresBin = "/usr/lib/postgresql/15/bin/"

// startLedger runs PostgreSQL on its host and puts the DSN, with the password,
// into a file that the user of ca alone can read.
func (tr *tier) startLedger() {
	tr.t.Helper()
	const host = "postgres"
	password := rand.Text()
	passwordFile, data := tr.net.Put(host, "password", []byte(password)), tr.dir(host, "data")
	if _, err := tr.net.Run(host, zone.Command{Name: "initdb", Args: []string{postgresBin + "initdb", "-D", data, "-U", "terrace", "-A", "scram-sha-256",
		"--pwfile", passwordFile, "-E", "UTF8", "--no-locale"}}); err != nil {
		tr.t.Fatal(err)
	}
	tr.net.Put(host, "data/pg_hba.conf", []byte(fmt.Sprintf("host all terrace %s/32 scram-sha-256\n", tr.net.Address("ca"))))
	server := tr.net.Start(host, zone.Command{Name: "PostgreSQL", Args: []string{postgresBin + "postgres", "-D", data, "-k", tr.net.Dir(host), "-c", "listen_addresses=" + tr.net.Address(host)}})
	tr.processes[host] = server
	tr.eventually("PostgreSQL", func() error {
		if server.Ended() {
			tr.t.Fatalf("PostgreSQL ended:\n%s", server.Log())
		}
		// Its own host is not among those that pg_hba.conf lets in; being up is enough.
		_, err := tr.net.Run(host, zone.Command{Name: "pg_isready", Args: []string{postgresBin + "pg_isready", "-h", tr.net.Address(host), "-t", "1"}})
		return err
	})
	tr.net.Put("ca", "ledger.dsn", []byte(fmt.Sprintf("postgresql://terrace:%s@%s:5432/postgres?sslmode=disable", password, tr.net.Address(host))))
}
