package quickstart

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/terrace-pki/terrace/internal/atomicfile"
)

// applier applies kustomizations by kubectl, as a person would.
type applier struct {
	Options
	state
}

func (a applier) kustomization(ctx context.Context, dir string) error {
	cmd := exec.CommandContext(ctx, a.Kubectl, "--kubeconfig", a.Kubeconfig, "--context", "admin", "apply", "--server-side", "--force-conflicts",
		"--field-manager=quickstart", "-k", dir)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("kubectl apply -k %s: %w:\n%s", dir, err, out.String())
	}
	return nil
}

// overlay writes a kustomization that patches what only this machine knows.
func (a applier) overlay(name, base string, patches []map[string]any) (string, error) {
	dir := a.path("overlays", name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	rel, err := filepath.Rel(dir, base)
	if err != nil {
		return "", err
	}
	b, err := json.MarshalIndent(map[string]any{"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization",
		"resources": []string{rel}, "patches": patches}, "", "  ")
	if err != nil {
		return "", err
	}
	return dir, atomicfile.Write(filepath.Join(dir, "kustomization.yaml"), b, 0o600)
}

// tier applies config/tiers/ministry with this machine's addresses and token.
func (a applier) tier(ctx context.Context, p Ports, module string) error {
	patches := []map[string]any{
		patch("ValidationService", "/spec/baseURL", fmt.Sprintf("http://127.0.0.1:%d/ministry", p.Validation)),
		patch("CryptoDevice", "/spec/pkcs11/modulePath", module),
	}
	for i, l := range ldapServers(p) {
		path := "/spec/master/url"
		if i > 0 {
			path = fmt.Sprintf("/spec/slaves/%d/url", i-1)
		}
		patches = append(patches, patch("Directory", path, "ldaps://"+l.address()))
	}
	dir, err := a.overlay("tier", filepath.Join(a.ConfigDir, "tiers", "ministry"), patches)
	if err != nil {
		return err
	}
	return a.kustomization(ctx, dir)
}

func patch(kind, path string, value any) map[string]any {
	op, _ := json.Marshal([]map[string]any{{"op": "replace", "path": path, "value": value}}) // strings always encode
	return map[string]any{"target": map[string]string{"kind": kind}, "patch": string(op)}
}

// webhooks applies config/webhook with the address of the server in this
// process in place of a Service.
func (a applier) webhooks(ctx context.Context, caBundle []byte, port int) error {
	base := filepath.Join(a.ConfigDir, "webhook")
	all, err := webhookConfigurations(base)
	if err != nil {
		return err
	}
	var patches []map[string]any
	for _, c := range all {
		var ops []map[string]any
		for i, path := range c.paths {
			ops = append(ops, map[string]any{"op": "replace", "path": fmt.Sprintf("/webhooks/%d/clientConfig", i),
				"value": map[string]any{"url": fmt.Sprintf("https://127.0.0.1:%d%s", port, path), "caBundle": base64.StdEncoding.EncodeToString(caBundle)}})
		}
		b, err := json.Marshal(ops)
		if err != nil {
			return err
		}
		patches = append(patches, map[string]any{"target": map[string]string{"kind": c.kind, "name": c.name}, "patch": string(b)})
	}
	dir, err := a.overlay("webhook", base, patches)
	if err != nil {
		return err
	}
	return a.kustomization(ctx, dir)
}

// printNext tells what to type, and writes endpoints.json for programs.
func (a applier) printNext(p Ports) error {
	endpoints := map[string]string{}
	file := a.path("endpoints.json")
	if b, err := os.ReadFile(file); err == nil {
		_ = json.Unmarshal(b, &endpoints) // an unreadable one is written anew
	}
	endpoints["validation"] = fmt.Sprintf("http://127.0.0.1:%d/ministry", p.Validation)
	endpoints["ocsp"] = endpoints["validation"] + "/ocsp"
	endpoints["metrics"] = fmt.Sprintf("http://127.0.0.1:%d/metrics", p.Metrics)
	endpoints["health"] = fmt.Sprintf("http://127.0.0.1:%d/readyz", p.Health)
	endpoints["ldapMaster"], endpoints["ldapSlave1"], endpoints["ldapSlave2"] =
		fmt.Sprintf("ldaps://127.0.0.1:%d", p.Master), fmt.Sprintf("ldaps://127.0.0.1:%d", p.Slave1), fmt.Sprintf("ldaps://127.0.0.1:%d", p.Slave2)
	b, err := json.MarshalIndent(endpoints, "", "  ")
	if err != nil {
		return err
	}
	if err := atomicfile.Write(file, append(b, '\n'), 0o600); err != nil {
		return err
	}
	say(a.Out, `In another terminal, from this folder:

  export KUBECONFIG=%[1]s PATH=%[2]s:$PATH
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:SM2 -out first.key
  openssl req -new -key first.key -sm3 -sigopt distid:1234567812345678 -utf8 -subj '/C=CN/O=Ministry/CN=Zhang San' -out first.csr
  sed "s/@REQUEST@/$(base64 -w0 first.csr)/" config/samples/certificaterequest.yaml | kubectl --context applicant apply -f -
  kubectl terrace --context reviewer-1 -n ministry approve first
  kubectl terrace --context reviewer-2 -n ministry approve first
  kubectl --context applicant -n ministry wait --for=condition=Ready certificaterequest/first
  kubectl --context applicant -n ministry get certificaterequest first -o jsonpath='{.status.certificate}' | base64 -d | kubectl terrace inspect -
  kubectl --context admin get tiers -A
  kubectl terrace --context admin -n ministry tree
  LDAPTLS_CACERT=%[4]s ldapsearch -x -LLL -H %[5]s -D cn=pusher,cn=accounts -y %[6]s -b %[7]s '(userCertificate;binary=*)' dn

Endpoints are in %[3]s. Ctrl-C stops; make run carries on from there.`, a.Kubeconfig, a.path("bin"), file,
		a.transportCA(), endpoints["ldapSlave1"], a.path("secrets", "directory-slave-1"), directoryBase)
	return nil
}
