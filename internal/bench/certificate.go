package bench

import (
	"crypto/rand"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"runtime"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
	"golang.org/x/sync/errgroup"

	"github.com/terrace-pki/terrace/directory"
	"github.com/terrace-pki/terrace/internal/pki"
)

// directoryCA is the name of the CA in the directory.
const directoryCA = "terrace-bench-g1"

// directoryPublications are a CA and n certificates of persons by it. They are of
// no ledger: a throw-away key signs them, beforehand.
func directoryPublications(n int) ([]directory.Publication, error) {
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	issuer := &smx509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Bench CA", Organization: []string{"Terrace"}, Country: []string{"CN"}},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: smx509.KeyUsageCertSign | smx509.KeyUsageCRLSign, SubjectKeyId: []byte{1}}
	der, err := smx509.CreateCertificate(rand.Reader, issuer, issuer, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	all := make([]directory.Publication, n+1)
	all[0] = directory.Publication{CA: directoryCA, Authority: &directory.Authority{Certificates: [][]byte{der}}}
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := 1; i <= n; i++ {
		group.Go(func() error {
			serial := new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), 150), big.NewInt(int64(i))) // of 20 octets, as a real one
			der, err := smx509.CreateCertificate(rand.Reader, &smx509.Certificate{SerialNumber: serial,
				Subject:   pkix.Name{CommonName: fmt.Sprintf("Subscriber %d", i), Organization: []string{"Bench"}, Country: []string{"CN"}},
				NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour), KeyUsage: smx509.KeyUsageDigitalSignature}, issuer, &key.PublicKey, key)
			all[i] = directory.Publication{CA: directoryCA, Certificate: &directory.Certificate{Serial: pki.SerialFromInt(serial), State: directory.StateIssued, DER: der}}
			return err
		})
	}
	return all, group.Wait()
}
