// Package config checks what is under config: every kustomization builds, every
// object is of a known kind with known fields, an API server with our kinds
// takes it, and the alerts name metrics and runbooks that exist.
package config

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/test/apiserver"
	"github.com/terrace-pki/terrace/test/interop"
)

const root = "../../config"

var server *apiserver.Server

func TestMain(m *testing.M) {
	os.Exit(apiserver.Main(m, func(s *apiserver.Server) error {
		server = s
		return apiserver.InstallCRDs(s.Config, filepath.Join(root, "crd"))
	}))
}

// foreign are kinds of others, which the scheme does not have.
var foreign = map[string]bool{"monitoring.coreos.com/v1": true}

// document is one YAML document of config.
type document struct {
	from string
	yaml []byte
	kind metav1.TypeMeta
}

// kustomizations are the folders under config that build to objects.
func kustomizations(t *testing.T) []string {
	t.Helper()
	var dirs []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "kustomization.yaml" {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil || bytes.Contains(b, []byte("kind: Component")) {
			return err
		}
		dirs = append(dirs, filepath.Dir(path))
		return nil
	})
	if err != nil || len(dirs) < 10 {
		t.Fatalf("found %d kustomizations, %v; the check would pass without looking", len(dirs), err)
	}
	return dirs
}

// build renders a kustomization as people do.
func build(t *testing.T, dir string) []document {
	t.Helper()
	bin := os.Getenv("TERRACE_BIN")
	if bin == "" {
		t.Fatal("TERRACE_BIN is not set: run make test, or make build and TERRACE_BIN=$PWD/.terrace/bin go test ./test/config")
	}
	cmd := exec.Command(filepath.Join(bin, "kubectl"), "kustomize", dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("kubectl kustomize %s: %v: %s", dir, err, stderr.String())
	}
	if stderr.Len() > 0 {
		t.Errorf("kubectl kustomize %s warns: %s", dir, stderr.String())
	}
	return split(t, dir, out)
}

func split(t *testing.T, from string, text []byte) []document {
	t.Helper()
	var all []document
	for d := utilyaml.NewDocumentDecoder(io.NopCloser(bytes.NewReader(text))); ; {
		b := make([]byte, len(text)+1)
		n, err := d.Read(b)
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatalf("%s: %v", from, err)
		}
		doc := document{from: from, yaml: b[:n]}
		if err := yaml.Unmarshal(doc.yaml, &doc.kind); err != nil {
			t.Fatalf("%s: %v", from, err)
		}
		if doc.kind.Kind != "" {
			all = append(all, doc)
		}
	}
}

// samples are files that people apply with a value of their own put in.
func samples(t *testing.T) []document {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "samples", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	_, csr, err := interop.MakeBouncyKeyAndCSR(t.TempDir(), "C=CN,O=Ministry,CN=sample", "")
	if err != nil {
		t.Fatal(err)
	}
	var all []document
	for _, file := range files {
		if filepath.Base(file) == "kustomization.yaml" {
			continue
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		b = bytes.ReplaceAll(b, []byte("@REQUEST@"), []byte(encode(csr)))
		b = bytes.ReplaceAll(b, []byte("@DIGEST@"), bytes.Repeat([]byte("0a"), 32))
		all = append(all, split(t, file, b)...)
	}
	return all
}

func scheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme, pkiv1.AddToScheme} {
		if err := add(s); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// TestEveryObjectIsKnown decodes strictly: an unknown kind, an unknown field or
// a field that is there twice fails.
func TestEveryObjectIsKnown(t *testing.T) {
	decoder := serializer.NewCodecFactory(scheme(t), serializer.EnableStrict).UniversalDeserializer()
	documents := samples(t)
	for _, dir := range kustomizations(t) {
		built := build(t, dir)
		if len(built) == 0 {
			t.Errorf("%s builds to nothing", dir)
		}
		documents = append(documents, built...)
	}
	for _, d := range documents {
		if foreign[d.kind.APIVersion] {
			continue
		}
		if _, _, err := decoder.Decode(d.yaml, nil, nil); err != nil {
			t.Errorf("%s: %s: %v", d.from, d.kind.Kind, err)
		}
	}
}

// TestEveryFileIsInItsKustomization finds the file that nobody applies.
func TestEveryFileIsInItsKustomization(t *testing.T) {
	for _, dir := range kustomizations(t) {
		b, err := os.ReadFile(filepath.Join(dir, "kustomization.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if name := filepath.Base(file); name != "kustomization.yaml" && !bytes.Contains(b, []byte(name)) {
				t.Errorf("%s: kustomization.yaml does not name it", file)
			}
		}
	}
}

// TestTheAPIServerTakesOurKinds creates every object of our kinds as a dry run:
// schema, bounds and CEL rules of the CRDs hold.
func TestTheAPIServerTakesOurKinds(t *testing.T) {
	c, err := client.New(server.Config, client.Options{Scheme: scheme(t)})
	if err != nil {
		t.Fatal(err)
	}
	tested := map[string]int{}
	documents := samples(t)
	for _, dir := range kustomizations(t) {
		documents = append(documents, build(t, dir)...)
	}
	for _, d := range documents {
		if !strings.HasPrefix(d.kind.APIVersion, pkiv1.GroupVersion.Group+"/") {
			continue
		}
		var o unstructured.Unstructured
		if err := yaml.Unmarshal(d.yaml, &o.Object); err != nil {
			t.Fatalf("%s: %v", d.from, err)
		}
		if o.GetNamespace() == "" {
			o.SetNamespace("default") // of a base that is given its namespace elsewhere
		}
		ensureNamespace(t, c, o.GetNamespace())
		err := c.Create(t.Context(), &o, client.DryRunAll, client.FieldValidation("Strict"))
		if err != nil {
			t.Errorf("%s: %s %s: %v", d.from, d.kind.Kind, o.GetName(), err)
		}
		tested[d.kind.Kind]++
	}
	for _, kind := range []string{"Tier", "CryptoDevice", "IndustryCA", "BusinessCA", "CertificateProfile", "RegistrationAuthority", "ValidationService", "Directory", "CertificateRequest"} {
		if tested[kind] == 0 {
			t.Errorf("config shows no %s", kind)
		}
	}
}

func ensureNamespace(t *testing.T, c client.Client, name string) {
	t.Helper()
	err := c.Create(context.Background(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(fmt.Errorf("namespace %s: %w", name, err))
	}
}
