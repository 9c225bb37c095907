package app

import (
	"errors"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/emmansun/gmsm/smx509"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/authority/authoritytest"
	"github.com/terrace-pki/terrace/internal/nationalroot"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/replica"
	"github.com/terrace-pki/terrace/internal/replica/replicatest"
	"github.com/terrace-pki/terrace/internal/store/replicastore"
	"github.com/terrace-pki/terrace/internal/trustlist"
	"github.com/terrace-pki/terrace/internal/trustsigner"
	"github.com/terrace-pki/terrace/internal/validation"
)

var industryKey = authority.IssuerKey{Authority: "IndustryCA/ns/industry", Generation: 1}

// declareIndustryCA adds an industry CA that makes trust lists to the world and
// returns the root above it.
func (w *validationWorld) declareIndustryCA(t *testing.T) *smx509.Certificate {
	t.Helper()
	rootDir := t.TempDir()
	root, err := nationalroot.Open(t.Context(), rootDir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := pki.ParseCertificatePEM(root.CertificatePEM())
	if err != nil {
		t.Fatal(err)
	}
	_, err = authoritytest.DeclareCA(t.Context(), w.authorities, rootDir, time.Now(), authority.Settings{Key: industryKey, Device: "ns/device",
		Chain: [][]byte{cert.Raw}, Validation: "ns/validation", BaseURL: w.ca.BaseURL,
		TrustList: &authority.TrustListSettings{Device: "ns/device", Interval: time.Hour, Overlap: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// awaitTrustList has the node serve a list of a number in both forms.
func (w *validationWorld) awaitTrustList(t *testing.T, root *smx509.Certificate, sequence int64) {
	t.Helper()
	for _, form := range trustlist.Forms {
		why := errors.New("not asked")
		for deadline := time.Now().Add(20 * time.Second); why != nil && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			why = func() error {
				status, body := w.node.get(t, w.node.config.ValidationAddress, "/ctl/industryca-industry-g1"+form.Extension())
				if status != http.StatusOK {
					return errors.New(body)
				}
				l, err := trustlist.Parse([]byte(body))
				if err != nil {
					return err
				}
				return l.Verify(root, time.Now(), sequence)
			}()
		}
		if why != nil {
			t.Fatalf("%s: %v. The node says: %s", form.Extension(), why, w.node.stderr.String())
		}
	}
}

// signTrustList signs the list and returns its number.
func (w *validationWorld) signTrustList(t *testing.T) int64 {
	t.Helper()
	lists := trustsigner.New(trustsigner.Config{Store: w.store, Authorities: w.authorities})
	if made, err := lists.Ensure(t.Context(), industryKey); err != nil || !made {
		t.Fatal(made, err)
	}
	status, _ := lists.Status(industryKey)
	return status.Sequence
}

func TestReplicaKeepsTheTrustListWithTheHighestNumber(t *testing.T) {
	store, err := replicastore.Open(t.Context(), filepath.Join(t.TempDir(), "replica.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	ca := caFile{industryKey, nil}
	served := catalog{crl: store.CRL, cas: func() []caFile { return []caFile{ca} }}
	name := validation.CAName{Kind: validation.KindIndustryCA, Name: "industry", Generation: 1}
	if _, err := served.TrustList(t.Context(), name, trustlist.FormCTL); !errors.Is(err, validation.ErrNotFound) {
		t.Errorf("before the first: %v, want ErrNotFound", err)
	}
	for i, push := range []struct {
		number int64
		want   string
	}{{5, "list 5"}, {4, "list 5"}, {6, "list 6"}} {
		list := replicatest.List(push.number, "list "+string(rune('0'+push.number)))
		list.Issuer = industryKey.TrustList()
		seq := int64(i)
		if _, err := store.Apply(t.Context(), replica.Push{After: seq, Next: seq + 1, Head: seq + 1, CRL: list}, replicatest.Now); err != nil {
			t.Fatal(err)
		}
		got, err := served.TrustList(t.Context(), name, trustlist.FormCTL)
		if err != nil || string(got.DER) != push.want {
			t.Errorf("after number %d: %q, %v, want %q", push.number, got.DER, err, push.want)
		}
	}
	if _, err := served.TrustList(t.Context(), name, trustlist.FormBundle); !errors.Is(err, validation.ErrNotFound) {
		t.Errorf("the other form: %v, want ErrNotFound", err)
	}
	if _, err := served.CRL(t.Context(), name, 0); !errors.Is(err, validation.ErrNotFound) {
		t.Errorf("a CRL under the CA's name: %v, want ErrNotFound", err)
	}
}
