package interop

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

//go:embed java/Verify.java
var verifierSource []byte

// jars are those of Debian's libbcprov-java, libbcpkix-java and libbcutil-java.
var jars = []string{"/usr/share/java/bcprov.jar", "/usr/share/java/bcpkix.jar", "/usr/share/java/bcutil.jar"}

var compiled struct {
	once sync.Once
	dir  string
	err  error
}

// compile makes the verifier's class, once for each source.
func compile() (string, error) {
	compiled.once.Do(func() { compiled.dir, compiled.err = compileInto() })
	return compiled.dir, compiled.err
}

func compileInto() (string, error) {
	for _, jar := range jars {
		if _, err := os.Stat(jar); err != nil {
			return "", fmt.Errorf("BouncyCastle: %w: install Debian's packages libbcprov-java, libbcpkix-java and libbcutil-java", err)
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(verifierSource)
	dir := filepath.Join(cache, "terrace", "interop", hex.EncodeToString(sum[:8]))
	if _, err := os.Stat(filepath.Join(dir, "Verify.class")); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "new-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	source := filepath.Join(tmp, "Verify.java")
	if err := os.WriteFile(source, verifierSource, 0o600); err != nil {
		return "", err
	}
	out, err := exec.Command("javac", "-cp", strings.Join(jars, ":"), "-d", tmp, source).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return "", fmt.Errorf("javac: %w: install Debian's package default-jdk-headless", err)
	}
	if err != nil {
		return "", fmt.Errorf("javac: %w: %s", err, out)
	}
	if err := os.Rename(tmp, dir); err != nil {
		if _, other := os.Stat(filepath.Join(dir, "Verify.class")); other == nil {
			return dir, nil // another process was first
		}
		return "", err
	}
	return dir, nil
}

// run runs a subcommand of the verifier over files and returns what it printed.
func run(command string, files ...[]byte) (string, error) {
	classes, err := compile()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "interop-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	args := []string{"-cp", strings.Join(append([]string{classes}, jars...), ":"), "Verify", command}
	for i, b := range files {
		name := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(name, b, 0o600); err != nil {
			return "", err
		}
		args = append(args, name)
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.Command("java", args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("BouncyCastle %s: %w: %s", command, err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}

// VerifyPath has BouncyCastle validate a path with revocation checking on.
// above is PEM, issuer first, root last; crls are DER, one of each issuer in above.
func VerifyPath(leaf []byte, above, crls [][]byte) error {
	files := [][]byte{[]byte(fmt.Sprint(len(above))), leaf}
	files = append(append(files, above...), crls...)
	_, err := run("path", files...)
	return err
}

// BouncyCRL verifies a DER list with its issuer's PEM certificate and returns
// its entries, "<serial> <reason>" a line.
func BouncyCRL(issuer, der []byte) (string, error) { return run("crl", issuer, der) }

// BouncyOCSP verifies a DER response for a certificate: the responder's
// delegation by the issuer, the signature, the dates, the nonce of the request.
// It returns good, revoked or unknown.
func BouncyOCSP(issuer, cert, request, response []byte) (string, error) {
	return run("ocsp", issuer, cert, request, response)
}
