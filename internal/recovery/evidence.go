// Package recovery brings a ledger that was restored from an older backup up to
// what others know: it reads them as sources, believes what the CAs themselves signed, and
// has the ledger import what it forgot.
package recovery

import (
	"context"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/replica"
)

// Evidence is one thing that a source knows: one of its fields, but for Identity.
type Evidence struct {
	// Certificate is DER. It is believed when it verifies under a CA of the ledger.
	Certificate []byte
	// Identity of the object that Certificate was issued for, zero when it is not known.
	Identity authority.Identity
	// CRL is DER, believed as Certificate is. Who stands on it is revoked.
	CRL []byte
	// Status is what a validation node was told of a serial: it has no signature,
	// and the node's file is believed.
	Status *replica.Status
	// Act is what a revocation object shows as performed. Its Issuer has no generation;
	// the serial has one.
	Act *authority.Performed
	// Authority is a CA that the ledger may have forgotten, believed when its
	// certificate verifies under one that it knows.
	Authority *Authority
}

// Authority is a CA key generation.
type Authority struct {
	Key authority.IssuerKey
	// Certificate is DER.
	Certificate []byte
}

// Source is somebody who knows certificates.
type Source interface {
	// Name for people and audit leaves, at most 400 bytes, without secrets.
	Name() string
	// Read calls yield for each thing that the source knows, in bounded memory, and
	// ends with the first error of yield. CAs come before what they issued, and certificates before acts.
	Read(ctx context.Context, yield func(Evidence) error) error
}
