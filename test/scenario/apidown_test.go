package scenario

import (
	"bufio"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/emmansun/gmsm/smx509"

	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/trustlist"
)

// TestFactsGoOnWithoutTheAPIServer runs terrace-standalone against an API
// server in a process of its own (--cluster), kills that, and waits for the
// next CRL and for OCSP answers.
func TestFactsGoOnWithoutTheAPIServer(t *testing.T) {
	tr := newTerrace(t)
	api, kubeconfig := startAPIServer(t, tr.bin)
	t.Setenv("KUBECONFIG", kubeconfig)
	tr.args = []string{"--cluster", currentContext(t, tr.bin, kubeconfig)}
	tr.start()
	tr.mustKubectl("admin", "", "patch", "businessca/business", "--type=merge", "-p", `{"spec":{"crl":{"interval":"1m","overlap":"1m"}}}`)
	tr.mustKubectl("admin", "", "patch", "industryca/industry", "--type=merge", "-p", `{"spec":{"trustList":{"interval":"1m","overlap":"1m"}}}`)
	tr.mustKubectl("applicant", request(t, "first", "person", csr(t, "/C=CN/O=Ministry/CN=x")), "apply", "-f", "-")
	tr.approve("first", "reviewer-1", "reviewer-2")
	tr.mustKubectl("applicant", "", "wait", "--for=condition=Ready", "--timeout=60s", "certificaterequest/first")
	leaf, _ := chain(tr)
	cert, err := pki.ParseCertificatePEM(leaf)
	if err != nil {
		t.Fatal(err)
	}
	verifyOCSP(t, tr, "good")
	before := crlNumber(t, get(t, cert.CRLDistributionPoints[0]))
	leafBefore, aboveBefore := chain(tr)
	list := strings.Replace(cert.IssuingCertificateURL[0], "/ca/businessca-business-g1.cer", "/ctl/industryca-industry-g1.ctl", 1)
	listBefore := sequenceNumber(t, get(t, list))

	if err := api.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = api.Wait()
	for deadline := time.Now().Add(2 * time.Minute); crlNumber(t, get(t, cert.CRLDistributionPoints[0])) == before; time.Sleep(2 * time.Second) {
		if time.Now().After(deadline) {
			t.Fatalf("no new CRL within two minutes of the API server's end:\n%s", tr.out)
		}
	}
	for deadline := time.Now().Add(2 * time.Minute); sequenceNumber(t, get(t, list)) == listBefore; time.Sleep(2 * time.Second) {
		if time.Now().After(deadline) {
			t.Fatalf("no new trust list within two minutes more:\n%s", tr.out)
		}
	}
	askOCSP(t, leafBefore, aboveBefore[0], "good")
	if resp, err := http.Get(cert.IssuingCertificateURL[0]); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("CA certificate: %v, %v", resp, err)
	}
}

func crlNumber(t *testing.T, der []byte) string {
	t.Helper()
	l, err := smx509.ParseRevocationList(der)
	if err != nil {
		t.Fatal(err)
	}
	return l.Number.String()
}

func sequenceNumber(t *testing.T, der []byte) int64 {
	t.Helper()
	l, err := trustlist.Parse(der)
	if err != nil {
		t.Fatal(err)
	}
	return l.Sequence
}

func startAPIServer(t *testing.T, bin string) (cmd *exec.Cmd, kubeconfig string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "tapi-")
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command(filepath.Join(bin, "testapiserver"), "-dir", dir)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Process.Kill()
		_ = os.RemoveAll(dir)
	})
	for sc := bufio.NewScanner(stdout); sc.Scan(); {
		if path, ok := strings.CutPrefix(sc.Text(), "KUBECONFIG="); ok {
			return cmd, path
		}
	}
	t.Fatal("testapiserver ended without a KUBECONFIG line")
	return nil, ""
}

func currentContext(t *testing.T, bin, kubeconfig string) string {
	t.Helper()
	out, err := exec.Command(filepath.Join(bin, "kubectl"), "--kubeconfig", kubeconfig, "config", "current-context").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
