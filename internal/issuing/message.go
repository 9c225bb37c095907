package issuing

import (
	"errors"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/link"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/registration"
)

// Methods of the link between an RA and its CA.
const (
	methodFind    = "registration/find"
	methodIssue   = "registration/issue"
	methodPerform = "registration/perform"
	methodPublish = "registration/publish"
	methodReady   = "registration/ready"
)

// codes are the errors that both sides know. What is not listed crosses without its text.
var codes = link.Codes{
	{Code: "not-found", Err: authority.ErrNotFound},
	{Code: "conflict", Err: authority.ErrConflict},
	{Code: "act-conflict", Err: authority.ErrActConflict},
	{Code: "paused", Err: authority.ErrPaused},
	{Code: "ca-revoked", Err: authority.ErrCARevoked},
	{Code: "ledger-restored", Err: authority.ErrRestored},
	{Code: "archived", Err: authority.ErrArchived},
	{Code: "unknown-ca", Err: authority.ErrUnknownCA},
	{Code: "busy", Err: authority.ErrBusy},
	{Code: "lint", Err: registration.ErrLint},
	{Code: "limits", Err: registration.ErrOutsideLimits},
	{Code: "not-entitled", Err: registration.ErrNotEntitled},
	{Code: "invalid-order", Err: registration.ErrInvalidOrder},
	{Code: "device", Err: device.ErrUnavailable},
}

// Codes is the table of errors for the server and the clients of this link.
func Codes() link.Codes { return append(link.Codes(nil), codes...) }

type findRequest struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

type issueRequest struct {
	Authority string               `json:"authority"`
	Orders    []registration.Order `json:"orders"`
}

type issueResponse struct {
	Items []item `json:"items"`
}

type publishRequest struct {
	Issuer authority.IssuerKey `json:"issuer"`
	Serial pki.Serial          `json:"serial"`
}

type publishResponse struct {
	Number int64 `json:"number"`
}

type readyRequest struct {
	Authority string `json:"authority"`
}

type empty struct{}

// item is an Issued as it crosses.
type item struct {
	Issuer      authority.IssuerKey `json:"issuer"`
	Serial      pki.Serial          `json:"serial,omitempty"`
	Certificate []byte              `json:"certificate,omitempty"`
	Chain       [][]byte            `json:"chain,omitempty"`
	Adopted     bool                `json:"adopted,omitempty"`
	Failure     *failure            `json:"failure,omitempty"`
}

type known struct {
	Digest [32]byte `json:"digest"`
	item
}

// failure is the error of one order.
type failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func toItem(i registration.Issued) item {
	return item{Issuer: i.Issuer, Serial: i.Serial, Certificate: i.Certificate, Chain: i.Chain, Adopted: i.Adopted, Failure: toFailure(i.Err)}
}

func (i item) issued() registration.Issued {
	return registration.Issued{Issuer: i.Issuer, Serial: i.Serial, Certificate: i.Certificate, Chain: i.Chain, Adopted: i.Adopted, Err: i.Failure.err()}
}

// toFailure keeps the text of the errors that both sides know: the others may
// say what is nobody's business.
func toFailure(err error) *failure {
	if err == nil {
		return nil
	}
	for _, c := range codes {
		if errors.Is(err, c.Err) {
			return &failure{c.Code, err.Error()}
		}
	}
	return &failure{"internal", "the CA failed; its log says more"}
}

func (f *failure) err() error {
	if f == nil {
		return nil
	}
	for _, c := range codes {
		if c.Code == f.Code {
			return &remoteError{f.Message, c.Err}
		}
	}
	return &remoteError{f.Message, registration.ErrIssuerUnavailable}
}

// remoteError has the words of the other side and stands for the error that both know.
type remoteError struct {
	message string
	known   error
}

func (e *remoteError) Error() string { return e.message }
func (e *remoteError) Unwrap() error { return e.known }
