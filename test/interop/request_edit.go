package interop

import (
	"bytes"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
)

const csrType = "CERTIFICATE REQUEST"

// certificationRequest is PKCS#10, opened no further than editing needs.
type certificationRequest struct {
	Info      asn1.RawValue
	Algorithm asn1.RawValue
	Signature asn1.BitString
}

// sm2WithSM3Null is the AlgorithmIdentifier 1.2.156.10197.1.501 with NULL
// parameters, as CFCA's sample request writes it.
var sm2WithSM3Null = []byte{0x30, 0x0c, 0x06, 0x08, 0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x83, 0x75, 0x05, 0x00}

// WithNullParameters gives the signatureAlgorithm of a PEM request NULL
// parameters. The request stays sound: the algorithm of a PKCS#10 request
// stands outside of what is signed.
func WithNullParameters(csrPEM []byte) ([]byte, error) {
	return editCSR(csrPEM, func(r *certificationRequest) error {
		if bytes.Equal(r.Algorithm.FullBytes, sm2WithSM3Null) {
			return errors.New("the parameters are NULL already")
		}
		r.Algorithm = asn1.RawValue{FullBytes: sm2WithSM3Null}
		return nil
	})
}

// WithBrokenSignature flips the last byte of the signature of a PEM request;
// the DER stays well formed.
func WithBrokenSignature(csrPEM []byte) ([]byte, error) {
	return editCSR(csrPEM, func(r *certificationRequest) error {
		if len(r.Signature.Bytes) == 0 {
			return errors.New("the signature is empty")
		}
		r.Signature.Bytes = bytes.Clone(r.Signature.Bytes)
		r.Signature.Bytes[len(r.Signature.Bytes)-1] ^= 1
		return nil
	})
}

// WithTrailingByte puts one byte behind the DER of a PEM request.
func WithTrailingByte(csrPEM []byte) ([]byte, error) {
	der, err := csrDER(csrPEM)
	if err != nil {
		return nil, err
	}
	return encodeCSR(append(der, 0)), nil
}

// Truncated takes the last byte from the DER of a PEM request.
func Truncated(csrPEM []byte) ([]byte, error) {
	der, err := csrDER(csrPEM)
	if err != nil {
		return nil, err
	}
	return encodeCSR(der[:len(der)-1]), nil
}

func editCSR(csrPEM []byte, edit func(*certificationRequest) error) ([]byte, error) {
	der, err := csrDER(csrPEM)
	if err != nil {
		return nil, err
	}
	var r certificationRequest
	rest, err := asn1.Unmarshal(der, &r)
	if err != nil {
		return nil, fmt.Errorf("edit CSR: %w", err)
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("edit CSR: %d bytes behind it", len(rest))
	}
	if err := edit(&r); err != nil {
		return nil, fmt.Errorf("edit CSR: %w", err)
	}
	der, err = asn1.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("edit CSR: %w", err)
	}
	return encodeCSR(der), nil
}

func csrDER(csrPEM []byte) ([]byte, error) {
	block, _ := pem.Decode(csrPEM)
	if block == nil || block.Type != csrType || len(block.Bytes) == 0 {
		return nil, errors.New("edit CSR: no PEM block " + csrType)
	}
	return block.Bytes, nil
}

func encodeCSR(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: csrType, Bytes: der})
}
