package responder

import (
	"context"
	"crypto"
	"crypto/rand"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
	"github.com/google/go-cmp/cmp"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/authority/authoritytest"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/replica"
)

var nodeSpec = Spec{Namespace: "ns", Name: "validation", BaseURL: "http://x.example", ResponderValidity: 72 * time.Hour, ResponseValidity: time.Hour,
	Nodes: []Node{{"val-b", "https://b.example:9445"}, {"val-a", "https://a.example:9445"}}}

func nodeKey(t *testing.T) crypto.MessageSigner {
	t.Helper()
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func requestFor(t *testing.T, key crypto.MessageSigner) *replica.ResponderRequest {
	t.Helper()
	name, err := pki.ParseName("CN=val-a")
	if err != nil {
		t.Fatal(err)
	}
	csr, err := pki.CreateRequest(key, name)
	if err != nil {
		t.Fatal(err)
	}
	return &replica.ResponderRequest{CSR: csr}
}

func openNodes(t *testing.T) (process, *clock) {
	t.Helper()
	dir, c := t.TempDir(), &clock{}
	c.at.Store(time.Now().Truncate(24*time.Hour).Unix() + 60)
	p := open(t, dir, c)
	_, err := authoritytest.DeclareCA(t.Context(), p.authorities, filepath.Join(dir, "root"), c.now(),
		authority.Settings{Key: caKey, Device: "ns/ca-device", Validation: nodeSpec.ID(), BaseURL: nodeSpec.BaseURL})
	if err := errors.Join(err, p.responders.Accept(t.Context(), nodeSpec)); err != nil {
		t.Fatal(err)
	}
	return p, c
}

// certified returns the certificate in a node's configuration, nil when there is none.
func certified(t *testing.T, c replica.Config) *smx509.Certificate {
	t.Helper()
	if len(c.Services) != 1 || len(c.Services[0].Authorities) != 1 {
		t.Fatalf("configuration has %+v, want one service with one CA", c.Services)
	}
	_, certificate, err := c.Services[0].Authorities[0].Parse()
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func configure(t *testing.T, s *Service, node string, request *replica.ResponderRequest) *smx509.Certificate {
	t.Helper()
	c, err := s.Configure(t.Context(), node, request)
	if err != nil {
		t.Fatal(err)
	}
	certificate := certified(t, c)
	if certificate == nil {
		t.Fatal("the node got no certificate")
	}
	return certificate
}

func TestNodesHaveCertificatesOfTheirOwn(t *testing.T) {
	p, clock := openNodes(t)
	if _, err := p.responders.CheckNodes(nodeSpec.ID()); !errors.Is(err, ErrNodePending) {
		t.Errorf("before a node told its key: %v, want ErrNodePending", err)
	}
	keyA, keyB := nodeKey(t), nodeKey(t)
	a := configure(t, p.responders, "val-a", requestFor(t, keyA))
	if served, err := p.responders.CheckNodes(nodeSpec.ID()); served != 0 || err == nil || !strings.Contains(err.Error(), "val-b") {
		t.Errorf("one node of two: served %d, %v, want 0 and an error that names val-b", served, err)
	}
	b := configure(t, p.responders, "val-b", requestFor(t, keyB))
	if served, err := p.responders.CheckNodes(nodeSpec.ID()); served != 1 || err != nil {
		t.Errorf("served %d, %v, want 1", served, err)
	}
	if a.SerialNumber.Cmp(b.SerialNumber) == 0 || !strings.Contains(a.Subject.CommonName, "val-a") || !strings.Contains(b.Subject.CommonName, "val-b") {
		t.Errorf("certificates are for %q and %q", a.Subject.CommonName, b.Subject.CommonName)
	}
	again := configure(t, p.responders, "val-a", requestFor(t, keyA)) // another CSR of the same key
	restarted := New(p.store, p.authorities, clock.now)
	if err := restarted.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	for what, got := range map[string]*smx509.Certificate{"asked again": again, "after a restart": configure(t, restarted, "val-a", requestFor(t, keyA))} {
		if got.SerialNumber.Cmp(a.SerialNumber) != 0 {
			t.Errorf("%s: a new certificate was issued", what)
		}
	}
	clock.add(25 * time.Hour)
	if next := configure(t, p.responders, "val-a", requestFor(t, keyA)); next.SerialNumber.Cmp(a.SerialNumber) == 0 {
		t.Error("in the next window the certificate is still the first")
	}
}

func TestNodeWithAReplacedDeviceIsCertifiedAtOnce(t *testing.T) {
	p, _ := openNodes(t)
	first := configure(t, p.responders, "val-a", requestFor(t, nodeKey(t)))
	key := nodeKey(t)
	second := configure(t, p.responders, "val-a", requestFor(t, key))
	public, err := authority.PublicKey(key)
	if err != nil || second.SerialNumber.Cmp(first.SerialNumber) == 0 || string(second.RawSubjectPublicKeyInfo) != string(public) {
		t.Errorf("%v: the certificate is not one for the new key", err)
	}
}

func TestNodeThatChangesItsKeyAllTheTimeCostsNoSerials(t *testing.T) {
	p, clock := openNodes(t)
	count := func() int64 {
		t.Helper()
		n, err := p.store.Count(t.Context(), caKey)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	first, second := nodeKey(t), nodeKey(t)
	configure(t, p.responders, "val-a", requestFor(t, first))
	configure(t, p.responders, "val-a", requestFor(t, second))
	before := count()
	for range 5 {
		c, err := p.responders.Configure(t.Context(), "val-a", requestFor(t, nodeKey(t)))
		if !errors.Is(err, ErrKeyTooSoon) || !strings.Contains(err.Error(), "val-a") {
			t.Fatalf("a third key within the hour: %v, want ErrKeyTooSoon with the node's name", err)
		}
		if certified(t, c) == nil {
			t.Error("the certificate from before is not served any more")
		}
	}
	configure(t, p.responders, "val-a", requestFor(t, first)) // it may go back
	configure(t, p.responders, "val-b", requestFor(t, nodeKey(t)))
	if n := count(); n != before+1 {
		t.Errorf("%d certificates were issued, want one: that of val-b", n-before)
	}
	clock.add(time.Hour)
	configure(t, p.responders, "val-a", requestFor(t, nodeKey(t)))
}

func TestConfigurationIsGoodBesideAnError(t *testing.T) {
	forged := requestFor(t, nodeKey(t))
	forged.CSR[len(forged.CSR)-1] ^= 1
	for name, c := range map[string]struct {
		request *replica.ResponderRequest
		prepare func(process) error
		want    error
	}{
		"device of the node away": {nil, func(process) error { return nil }, ErrNodePending},
		"possession not proved":   {forged, func(process) error { return nil }, nil},
		"no request":              {&replica.ResponderRequest{CSR: []byte("hello")}, func(process) error { return nil }, nil},
		"device of the CA away":   {requestFor(t, nodeKey(t)), func(p process) error { return p.devices.Remove("ns/ca-device") }, device.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := openNodes(t)
			if err := c.prepare(p); err != nil {
				t.Fatal(err)
			}
			config, err := p.responders.Configure(t.Context(), "val-a", c.request)
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			if certified(t, config) != nil {
				t.Error("a certificate was issued")
			}
			if _, err := p.responders.CheckNodes(nodeSpec.ID()); err == nil {
				t.Error("CheckNodes finds nothing wrong")
			}
		})
	}
}

func TestTargets(t *testing.T) {
	p, _ := openNodes(t)
	other := nodeSpec
	other.Name, other.BaseURL, other.Nodes = "zvalidation", "http://x.example/z", []Node{{"val-c", "https://c.example"}, {"val-a", "https://elsewhere.example"}}
	if err := p.responders.Accept(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	want := []replica.Target{{Name: "val-a", URL: "https://a.example:9445"}, {Name: "val-b", URL: "https://b.example:9445"}, {Name: "val-c", URL: "https://c.example"}}
	if diff := cmp.Diff(want, p.responders.Targets()); diff != "" {
		t.Errorf("targets (-want +got):\n%s", diff)
	}
	if _, err := p.responders.CheckNodes(other.ID()); err == nil || !strings.Contains(err.Error(), "elsewhere.example") {
		t.Errorf("a node with two URLs: %v, want an error that says so", err)
	}
	c, err := p.responders.Configure(t.Context(), "val-a", requestFor(t, nodeKey(t)))
	if err != nil || len(c.Services) != 2 {
		t.Errorf("a node of two services is to serve %d, %v", len(c.Services), err)
	}
	if c, err := p.responders.Configure(context.Background(), "val-z", nil); err != nil || len(c.Services) != 0 {
		t.Errorf("a node of none is to serve %d, %v", len(c.Services), err)
	}
}
