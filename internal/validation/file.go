package validation

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/terrace-pki/terrace/internal/trustlist"
)

const (
	// maxCRLAge bounds how long a cache may keep a list, for the next list may
	// come long before nextUpdate.
	maxCRLAge = time.Hour
	// caAge is for CA certificates, which hardly ever change under one name.
	caAge = 24 * time.Hour
)

func (h *Handler) serveCRL(w http.ResponseWriter, r *http.Request, file string) error {
	full, delta := isDeltaName(file)
	ca, shard, ok := parseCRLName(full)
	if !ok {
		return fmt.Errorf("name of a CRL: %w", ErrNotFound)
	}
	read := h.catalog.CRL
	if delta {
		read = h.catalog.Delta
	}
	crl, err := read(r.Context(), ca, shard)
	if err != nil {
		return readError("CRL", err)
	}
	h.writeList(w, r, "application/pkix-crl", crl) // RFC 2585 §4
	return nil
}

func (h *Handler) serveTrustList(w http.ResponseWriter, r *http.Request, file string) error {
	ca, form, ok := parseTrustListName(file)
	if !ok {
		return fmt.Errorf("name of a trust list: %w", ErrNotFound)
	}
	list, err := h.catalog.TrustList(r.Context(), ca, form)
	if err != nil {
		return readError("trust list", err)
	}
	contentType := "application/pkcs7-mime"
	if form == trustlist.FormBundle {
		contentType = "application/x-pkcs7-certificates"
	}
	h.writeList(w, r, contentType, list)
	return nil
}

// writeList writes a signed list with a number.
func (h *Handler) writeList(w http.ResponseWriter, r *http.Request, contentType string, l CRL) {
	header := w.Header()
	header.Set("Content-Type", contentType)
	// The number is used once for a path, and a CRL may be long: no need to hash.
	header.Set("ETag", `"`+strconv.FormatInt(l.Number, 10)+`"`)
	h.setAge(header, min(l.NextUpdate.Sub(h.now())/2, maxCRLAge), l.NextUpdate)
	http.ServeContent(w, r, "", l.ThisUpdate, bytes.NewReader(l.DER))
}

func (h *Handler) serveCA(w http.ResponseWriter, r *http.Request, file string) error {
	ca, ok := parseCertificateName(file)
	if !ok {
		return fmt.Errorf("name of a CA certificate: %w", ErrNotFound)
	}
	der, err := h.catalog.CACertificate(r.Context(), ca)
	if err != nil {
		return readError("CA certificate", err)
	}
	header := w.Header()
	header.Set("Content-Type", "application/pkix-cert") // RFC 2585 §4
	header.Set("ETag", etag(der))
	h.setAge(header, caAge, h.now().Add(caAge))
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(der))
	return nil
}

func readError(what string, err error) error {
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("read %s: %w", what, err)
	}
	return fmt.Errorf("read %s: %w: %w", what, errUnavailable, err)
}

// setAge says how long a cache may keep the answer (RFC 5019 §6.2): max-age
// for those that know it, Expires for those that do not.
func (h *Handler) setAge(header http.Header, age time.Duration, expires time.Time) {
	control, until := validity(age, expires)
	header.Set("Cache-Control", control)
	header.Set("Expires", until)
}

// validity is Cache-Control and Expires.
func validity(age time.Duration, expires time.Time) (control, until string) {
	seconds := int64(max(age, 0) / time.Second)
	return "max-age=" + strconv.FormatInt(seconds, 10) + ", public, no-transform, must-revalidate", expires.UTC().Format(http.TimeFormat)
}

func etag(b []byte) string {
	sum := sha256.Sum256(b)
	return `"` + hex.EncodeToString(sum[:]) + `"`
}
