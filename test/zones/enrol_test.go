package zones

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/test/interop"
)

// enrol does what docs/zones.md says for hosts of their own: transport
// certificates, message keys, peers files and the core's limits.
func (tr *tier) enrol() {
	tr.t.Helper()
	tr.transport()
	for _, host := range []string{"ca", "ra", "validation-business", "validation-public"} {
		tr.publicKey[host] = string(tr.terrace(host, nil, "message-key", "--out", tr.dir(host, "message.pem")))
	}
	toCA := tr.peers("", "ca")
	for _, host := range []string{"ra", "validation-business", "validation-public"} {
		tr.net.Put(host, "peers.yaml", []byte(toCA))
	}
	tr.net.Put("ca", "peers.yaml", []byte(tr.peers("    authorities: [BusinessCA/ministry/business]\n    registrationAuthorities: [ministry/ra]\n    namespaces: [ministry]\n", "ra")+
		strings.TrimPrefix(tr.peers("", "validation-business", "validation-public"), "peers:\n")))
	tr.net.Put("ca", "limits.yaml", []byte(fmt.Sprintf(`authorities:
  - authority: BusinessCA/ministry/business
    validity: 43800h
    keyUsages: [DigitalSignature, ContentCommitment]
    extendedKeyUsages: [1.3.6.1.5.5.7.3.1, 1.3.6.1.5.5.7.3.2]
    anyPurpose: true
    identityExtensions: [1.2.156.10260.4.1.1, 1.2.156.10260.4.1.2, 1.2.156.10260.4.1.3, 1.2.156.10260.4.1.4, 1.2.156.10260.4.1.5]
    names: [{subjectBase: "O=Ministry,C=CN"}, {dnsSuffix: example}]
subordinates:
  - issuer: IndustryCA/ministry/industry
    maxPathLength: 1
    validity: 87600h
    names: [{subjectBase: "O=Ministry,C=CN"}]
    approvals: 1
officers:
  - name: zhang
    publicKey: |
      %s
`, indent(string(tr.officer())))))
}

// officer makes an officer's key, which stays with that person, and returns its public half.
func (tr *tier) officer() []byte {
	tr.t.Helper()
	file, csr, err := interop.MakeKeyAndCSR(tr.t.TempDir(), "/CN=zhang", interop.CSROptions{})
	if err != nil {
		tr.t.Fatal(err)
	}
	key, err := os.ReadFile(file)
	if err != nil {
		tr.t.Fatal(err)
	}
	tr.net.Put("people", "officer.key", key)
	request, err := pki.ParseRequest(csr)
	if err != nil {
		tr.t.Fatal(err)
	}
	return pki.EncodePEM(pki.PEMPublicKey, request.SPKI)
}

// indent puts a PEM text into a YAML block of the tables here.
func indent(pem string) string {
	return strings.ReplaceAll(strings.TrimSpace(pem), "\n", "\n      ")
}

// transport makes the certificates in a folder that stays with root, and
// copies to each host its own.
func (tr *tier) transport() {
	tr.t.Helper()
	names := []string{"ca", "ra", "manager", "validation-business", "validation-public", "pusher", "master", "slave-1", "slave-2"}
	args := []string{"transport", "ensure", "--dir", tr.links}
	for _, name := range names {
		args = append(args, "--process", name+"="+tr.net.Address(name))
	}
	if out, err := exec.Command(tr.shared("terrace"), args...).CombinedOutput(); err != nil {
		tr.t.Fatalf("terrace transport ensure: %v\n%s", err, out)
	}
	for _, name := range names {
		for _, file := range []string{"tls.crt", "tls.key", "ca.crt"} {
			b, err := os.ReadFile(filepath.Join(tr.links, name, file))
			if err != nil {
				tr.t.Fatal(err)
			}
			tr.net.Put(name, "transport/"+file, b)
		}
	}
}

// peers is a peers file in which every named process has the same powers.
func (tr *tier) peers(powers string, names ...string) string {
	var b strings.Builder
	b.WriteString("peers:\n")
	for _, name := range names {
		fmt.Fprintf(&b, "  - name: %s\n    publicKey: |\n      %s\n%s", name, indent(tr.publicKey[name]), powers)
	}
	return b.String()
}

// linkFlags are the flags of a process with a link.
func (tr *tier) linkFlags(host string) []string {
	return []string{"--name", host, "--transport-dir", tr.dir(host, "transport"), "--message-key", tr.dir(host, "message.pem"), "--peers", tr.dir(host, "peers.yaml")}
}
