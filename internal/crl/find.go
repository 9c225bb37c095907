package crl

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/terrace-pki/terrace/internal/pki"
)

// errForm says that a list is not as this package writes them.
var errForm = errors.New("is not a list as Terrace writes them")

// Find returns the entry of a serial in a list that this package made, DER; its
// signature is not looked at. found is false when the serial does not stand on
// it. It walks the list and keeps nothing: one may have a million entries.
func Find(der []byte, serial pki.Serial) (entry Entry, found bool, err error) {
	want, err := hex.DecodeString(string(serial))
	if err != nil || len(want) == 0 {
		return Entry{}, false, fmt.Errorf("find entry in CRL: serial %.48q: want hexadecimal octets", string(serial))
	}
	if want[0] >= 0x80 {
		want = append([]byte{0}, want...)
	}
	entries, err := entriesOf(der)
	for err == nil && !entries.Empty() {
		var one, number cryptobyte.String
		if !entries.ReadASN1(&one, cbasn1.SEQUENCE) || !one.ReadASN1(&number, cbasn1.INTEGER) {
			err = errForm
			break
		}
		if string(number) != string(want) {
			continue
		}
		entry, err = readEntry(one)
		entry.Serial = serial
		found = err == nil
		break
	}
	if err != nil {
		return Entry{}, false, fmt.Errorf("find entry in CRL: %w", err)
	}
	return entry, found, nil
}

// entriesOf is the content of revokedCertificates, empty when it is absent.
func entriesOf(der []byte) (entries cryptobyte.String, err error) {
	in := cryptobyte.String(der)
	var list, tbs cryptobyte.String
	if !in.ReadASN1(&list, cbasn1.SEQUENCE) || !in.Empty() || !list.ReadASN1(&tbs, cbasn1.SEQUENCE) ||
		!tbs.SkipASN1(cbasn1.INTEGER) || !tbs.SkipASN1(cbasn1.SEQUENCE) || !tbs.SkipASN1(cbasn1.SEQUENCE) {
		return nil, errForm
	}
	for range 2 { // thisUpdate, nextUpdate
		if !tbs.SkipASN1(cbasn1.UTCTime) && !tbs.SkipASN1(cbasn1.GeneralizedTime) {
			return nil, errForm
		}
	}
	if !tbs.ReadOptionalASN1(&entries, nil, cbasn1.SEQUENCE) {
		return nil, errForm
	}
	return entries, nil
}

// readEntry reads what follows the serial number of an entry.
func readEntry(in cryptobyte.String) (e Entry, err error) {
	var raw, extensions cryptobyte.String
	var tag cbasn1.Tag
	if !in.ReadAnyASN1(&raw, &tag) || !in.ReadOptionalASN1(&extensions, nil, cbasn1.SEQUENCE) || !in.Empty() {
		return e, errForm
	}
	layout := "060102150405Z"
	if tag == cbasn1.GeneralizedTime {
		layout = "20060102150405Z"
	}
	if e.At, err = time.Parse(layout, string(raw)); err != nil || len(raw) != len(layout) {
		return e, errForm
	}
	if tag == cbasn1.UTCTime && e.At.Year() >= 2050 { // RFC 5280 §4.1.2.5.1
		e.At = e.At.AddDate(-100, 0, 0)
	}
	if extensions.Empty() {
		return e, nil
	}
	reason, ok := strings.CutPrefix(string(extensions), reasonHeader)
	if !ok || len(reason) != 1 {
		return e, errForm
	}
	e.Reason = pki.Reason(reason[0])
	return e, nil
}
