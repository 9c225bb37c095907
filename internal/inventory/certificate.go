package inventory

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/emmansun/gmsm/smx509"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/lint"
	"github.com/terrace-pki/terrace/internal/pki"
)

// ca is a key generation that the walk is at.
type ca struct {
	authority.Settings
	cert *smx509.Certificate
	name string
}

// certificate holds one record against its certificate, and that against the
// rules; the signature under the CA's key is one of them.
func (w *walk) certificate(ca *ca, r authority.Record) {
	// Archived once it ended, or recovered as a serial alone.
	if len(r.Certificate) == 0 && (r.Identity.Kind == authority.KindRecovered || r.NotAfter.Before(w.Now())) {
		w.report.WithoutContent++
		return
	}
	w.report.Certificates++
	subject := ca.name + " " + string(r.Serial)
	for _, f := range lint.ExamineCertificate(r.Certificate, lint.Context{Issuer: ca.cert}, 0) {
		w.add(subject, f)
	}
	cert, err := smx509.ParseCertificate(r.Certificate)
	if err != nil {
		w.add(subject, lint.Finding{Check: FindingNoRecord, Detail: "certificate cannot be read: " + err.Error()})
		return
	}
	if got := pki.SerialFromInt(cert.SerialNumber); got != r.Serial {
		w.add(subject, lint.Finding{Check: FindingSerial, Detail: fmt.Sprintf("the certificate has serial number %s", got)})
	}
	if !cert.NotAfter.Equal(r.NotAfter.Truncate(time.Second)) {
		w.add(subject, lint.Finding{Check: FindingNotAfter, Detail: fmt.Sprintf("the certificate ends at %s, its record at %s",
			cert.NotAfter.UTC().Format(time.RFC3339), r.NotAfter.UTC().Format(time.RFC3339))})
	}
	if err := ca.shardFits(cert, r.Shard); err != nil {
		w.add(subject, lint.Finding{Check: FindingShard, Detail: err.Error()})
	}
}

// shardFits compares the file in the CRL's URL, for the host may have moved.
func (c *ca) shardFits(cert *smx509.Certificate, shard int32) error {
	if shard < 0 || shard >= c.MaxShards {
		return fmt.Errorf("record has shard %d of %d", shard, c.MaxShards)
	}
	file := "/" + c.Key.CRLFileName(shard)
	if points := cert.CRLDistributionPoints; len(points) > 0 && !slices.ContainsFunc(points, func(p string) bool { return strings.HasSuffix(p, file) }) {
		return fmt.Errorf("record has shard %d, the certificate names %q", shard, points)
	}
	return nil
}

// revoked looks at the certificates behind revoked serials; those of abandoned
// ones are none.
func (w *walk) revoked(ctx context.Context, ca *ca, serials []pki.Serial) error {
	for _, serial := range serials {
		r, err := w.Ledger.Status(ctx, ca.Key, serial)
		if notFound(err) {
			w.add(ca.name+" "+string(serial), lint.Finding{Check: FindingNoRecord, Detail: "is revoked and has no record"})
			continue
		}
		if err != nil {
			return err
		}
		if r.State == authority.StateIssued {
			w.certificate(ca, r)
		}
	}
	return nil
}
