package crl

import (
	"fmt"

	"github.com/emmansun/gmsm/smx509"

	"github.com/terrace-pki/terrace/internal/pki"
)

// Find returns the entry of a serial in a full list, DER; its signature is not
// looked at. found is false when the serial does not stand on it.
func Find(der []byte, serial pki.Serial) (entry Entry, found bool, err error) {
	list, err := smx509.ParseRevocationList(der)
	if err != nil {
		return Entry{}, false, fmt.Errorf("find entry in CRL: %w", err)
	}
	for _, e := range list.RevokedCertificateEntries {
		if pki.SerialFromInt(e.SerialNumber) == serial {
			return Entry{Serial: serial, At: e.RevocationTime.UTC(), Reason: pki.Reason(e.ReasonCode)}, true, nil
		}
	}
	return Entry{}, false, nil
}
