package scenario

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/terrace-pki/terrace/internal/pki"
)

// servers of the sample's directory: endpoint, account and secret of each.
var servers = []struct{ endpoint, account, secret string }{
	{"ldapMaster", "publisher", "directory-master"}, {"ldapSlave1", "pusher", "directory-slave-1"}, {"ldapSlave2", "pusher", "directory-slave-2"}}

// inDirectory waits until master and slaves hold the same DER as the request's status.
func inDirectory(t *testing.T, tr *terrace, request string) {
	t.Helper()
	cert, err := pki.ParseCertificatePEM(tr.field("certificaterequest/"+request, ".status.certificate"))
	if err != nil {
		t.Fatal(err)
	}
	awaitDirectory(t, tr, request, func(found []byte) bool { return bytes.Equal(found, cert.Raw) })
}

// outOfDirectory waits until neither master nor slaves hold the certificate.
func outOfDirectory(t *testing.T, tr *terrace, request string) {
	t.Helper()
	awaitDirectory(t, tr, request, func(found []byte) bool { return len(found) == 0 })
}

func awaitDirectory(t *testing.T, tr *terrace, request string, ok func([]byte) bool) {
	t.Helper()
	serial := tr.text("certificaterequest/"+request, ".status.serialNumber")
	for _, s := range servers {
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(200 * time.Millisecond) {
			found := ldapCertificate(t, tr, s.endpoint, s.account, s.secret, serial)
			if ok(found) {
				break
			}
			if time.Now().After(deadline) {
				t.Errorf("%s: serial %s: %d bytes of certificate found\n%s", s.endpoint, serial, len(found), tr.text("directory/directory", ".status"))
				break
			}
		}
	}
}

// ldapCertificate asks as OpenLDAP's client does; nil when there is none.
func ldapCertificate(t *testing.T, tr *terrace, endpoint, account, secret, serial string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(tr.state, "endpoints.json"))
	if err != nil {
		t.Fatal(err)
	}
	var endpoints map[string]string
	if err := json.Unmarshal(b, &endpoints); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("ldapsearch", "-x", "-LLL", "-o", "ldif-wrap=no", "-H", endpoints[endpoint], "-D", "cn="+account+",cn=accounts",
		"-y", filepath.Join(tr.state, "secrets", secret), "-b", "ou=certificates,o=Ministry,c=CN", "(serialNumber="+serial+")", "userCertificate;binary")
	cmd.Env = append(os.Environ(), "LDAPTLS_CACERT="+filepath.Join(tr.state, "transport", "ldap-master", "ca.crt"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		if strings.Contains(string(out), "No such object (32)") {
			return nil
		}
		t.Fatalf("ldapsearch at %s: %v: %s", endpoint, err, out)
	}
	_, value, ok := strings.Cut(string(out), "userCertificate;binary:: ")
	if !ok {
		return nil
	}
	value, _, _ = strings.Cut(value, "\n")
	der, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		t.Fatalf("ldapsearch at %s: %v", endpoint, err)
	}
	return der
}
