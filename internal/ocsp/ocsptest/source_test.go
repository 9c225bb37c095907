package ocsptest

import (
	"testing"
	"time"

	"github.com/terrace-pki/terrace/internal/ocsp"
	"github.com/terrace-pki/terrace/internal/pki"
)

func TestSourceInMemory(t *testing.T) {
	at := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	issuer, other := ocsp.IssuerKey{Authority: "BusinessCA/test/a", Generation: 1}, ocsp.IssuerKey{Authority: "BusinessCA/test/a", Generation: 2}
	source := &Source{}
	source.Set(issuer, "01", ocsp.Status{State: ocsp.Good})
	source.Set(issuer, "02", ocsp.Status{State: ocsp.Revoked, RevokedAt: at, Reason: pki.ReasonKeyCompromise})
	source.Set(issuer, "03", ocsp.Status{State: ocsp.Revoked, RevokedAt: at, Reason: pki.ReasonCessationOfOperation})
	TestSource(t, source, issuer, other, Serials{Issued: "01", Revoked: "02", RevokedAt: at, Abandoned: "03", Reserved: "04", Intended: "05", Never: "06"})
}
