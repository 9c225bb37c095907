package slapd

import (
	"fmt"
	"path/filepath"
	"strings"
)

const (
	modulePath = "/usr/lib/ldap"
	schemaPath = "/etc/ldap/schema"

	// maxRequest is what an authenticated client may send: a CRL of 100,000 entries
	// has about 4 MB, which slapd refuses by default.
	maxRequest = 64 << 20
	// maxAnonymousRequest is slapd's default for clients that did not bind.
	maxAnonymousRequest = 256<<10 - 1
	accountsMaxSize     = 16 << 20
)

// folders under Dir.
const (
	dataDir     = "data"
	loadDir     = "data.loading"
	logDir      = "log"
	accountsDir = "accounts"
)

// conf writes slapd.conf(5). A file, unlike cn=config, cannot be changed over
// LDAP. data is the folder of the directory's database.
func (c Config) conf(data string) string {
	var b strings.Builder
	line := func(format string, a ...any) { fmt.Fprintf(&b, format+"\n", a...) }
	for _, s := range []string{"core", "cosine", "inetorgperson"} {
		line("include %s/%s.schema", schemaPath, s)
	}
	line("pidfile %s", c.path("slapd.pid"))
	line("argsfile %s", c.path("slapd.args"))
	line("modulepath %s", modulePath)
	line("moduleload back_mdb")
	line("moduleload argon2")
	if c.Role == Master {
		line("moduleload accesslog")
	}
	line("loglevel none")
	line("serverID 1")
	line("TLSCertificateFile %s", quote(c.CertFile))
	line("TLSCertificateKeyFile %s", quote(c.KeyFile))
	line("TLSCACertificateFile %s", quote(c.CAFile))
	line("TLSProtocolMin 3.3") // TLS 1.2
	line("TLSVerifyClient never")
	line("sockbuf_max_incoming %d", maxAnonymousRequest)
	line("sockbuf_max_incoming_auth %d", maxRequest)
	line("idletimeout 900")
	line("writetimeout 60")
	line(`access to dn.base="" by * read`)
	line(`access to dn.base="cn=Subschema" by * read`)

	line("database mdb")
	line("suffix %s", quote(accountBase))
	line("directory %s", c.path(accountsDir))
	line("maxsize %d", accountsMaxSize)
	line("access to attrs=userPassword by anonymous auth by * none")
	line("access to * by * none")

	if c.Role == Master {
		line("database mdb")
		line("suffix %s", quote(LogBase))
		line("directory %s", c.path(logDir))
		line("maxsize %d", c.MaxSize)
		line("index entryCSN,reqStart,reqResult,objectClass eq")
		// One sync less for each change. A crash of the machine may then lose the
		// last record, as it may between the two databases anyway: a pusher compares
		// with a master that it has to connect to again.
		line("envflags nometasync")
		c.unlimited(line, Replicate)
		line("access to *%s by * none", by(c.named(Replicate), "read"))
	}

	line("database mdb")
	line("suffix %s", quote(c.Base))
	line("directory %s", data)
	line("maxsize %d", c.MaxSize)
	line("index objectClass,entryUUID,entryCSN,serialNumber,cn eq")
	c.unlimited(line, Replicate, Write)
	accounts := by(c.named(Write), "write") + by(c.named(Replicate), "read") + by(c.named(Read), "read")
	if c.Anonymous == AnonymousByName {
		// A search of one entry needs the right to search "entry" and the filter's
		// objectClass, which a search of the tree needs too: that one fails by the
		// number of entries it would have to look at.
		line("limits anonymous size.soft=1 size.hard=1 size.unchecked=1 size.prtotal=disabled time=5")
		line("access to attrs=entry,objectClass%s by anonymous =srcd by * none", accounts)
		line("access to *%s by anonymous =rcd by * none", accounts)
	} else {
		line("access to *%s by * none", accounts)
	}
	if c.Role == Slave {
		line("updatedn %s", quote(AccountDN(c.named(Write)[0].Name)))
		line("updateref %s", quote(c.MasterURL))
		return b.String()
	}
	line("overlay accesslog")
	line("logdb %s", quote(LogBase))
	line("logops writes")
	line("logsuccess TRUE")
	hours := int(c.LogKeep.Hours())
	line("logpurge %d+%02d:00 00+01:00", hours/24, hours%24)
	return b.String()
}

func (c Config) unlimited(line func(string, ...any), accesses ...Access) {
	for _, access := range accesses {
		for _, a := range c.named(access) {
			line("limits dn.exact=%s size=unlimited time=unlimited", quote(AccountDN(a.Name)))
		}
	}
}

func by(accounts []Account, level string) string {
	var b strings.Builder
	for _, a := range accounts {
		fmt.Fprintf(&b, " by dn.exact=%s %s", quote(AccountDN(a.Name)), level)
	}
	return b.String()
}

// path is quoted, for slapd.conf.
func (c Config) path(name string) string { return quote(filepath.Join(c.Dir, name)) }

// quote writes an argument of slapd.conf(5).
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
