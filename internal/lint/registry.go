package lint

import (
	"fmt"
	"slices"
	"strings"
)

// Severity says what a finding of a rule means.
type Severity int

// Severities, the gravest first.
const (
	// SeverityError: the clause is broken, or relying parties will refuse.
	SeverityError Severity = iota
	// SeverityWarning: the clause says SHOULD, or practice in SM2 systems is another.
	SeverityWarning
	// SeverityNotice: allowed, and worth a look.
	SeverityNotice
)

// String is "error", "warning" or "notice".
func (s Severity) String() string { return [...]string{"error", "warning", "notice"}[s] }

// MarshalText is String.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Kinds is a set of what is linted.
type Kinds uint16

// Kinds of input. A certificate has exactly one; a list is KindCRL or KindARL,
// and KindDeltaCRL besides when it is a delta.
const (
	KindCA         Kinds = 1 << iota // 证书认证机构
	KindSigning                      // 签名证书
	KindEncryption                   // 加密证书
	KindOCSPSigner                   // OCSP responder
	KindTSA                          // 时间戳服务
	KindCRL
	KindARL // a list of CA certificates alone
	KindDeltaCRL
	KindOCSPResponse
	KindRequest // PKCS #10

	kindsEndEntity   = KindSigning | KindEncryption | KindOCSPSigner | KindTSA
	kindsCertificate = KindCA | kindsEndEntity
	kindsCRL         = KindCRL | KindARL | KindDeltaCRL
	kindsAll         = kindsCertificate | kindsCRL | KindOCSPResponse | KindRequest
)

var kindNames = []string{"ca", "signing", "encryption", "ocsp-signer", "tsa", "crl", "arl", "delta-crl", "ocsp-response", "request"}

// String is the names with commas between them, "certificate" and "list" for all of these.
func (k Kinds) String() string {
	var names []string
	for _, group := range []struct {
		kinds Kinds
		name  string
	}{{kindsAll, "all"}, {kindsCertificate, "certificate"}, {kindsEndEntity, "end entity"}, {kindsCRL, "list"}} {
		if k&group.kinds == group.kinds {
			names, k = append(names, group.name), k&^group.kinds
		}
	}
	for i, name := range kindNames {
		if k&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// MarshalText is String.
func (k Kinds) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// ParseKind reads one of KindNames.
func ParseKind(name string) (Kinds, error) {
	i := slices.Index(kindNames, name)
	if i < 0 {
		return 0, fmt.Errorf("kind %.32q: want one of %s", name, strings.Join(kindNames, ", "))
	}
	return 1 << i, nil
}

// KindNames lists the names of the single kinds.
func KindNames() []string { return slices.Clone(kindNames) }

// Lint describes a rule.
type Lint struct {
	// Name is stable; scripts and waivers may hold on to it.
	Name     string   `json:"lint"`
	Severity Severity `json:"severity"`
	// Kinds are what it is for.
	Kinds Kinds `json:"kinds"`
	// Source is the clause.
	Source string `json:"source"`
	// Demands says what it asks for.
	Demands string `json:"demands"`
	// GateOnly: what Terrace itself writes, asked of nobody else's.
	GateOnly bool `json:"beforeSigningOnly,omitempty"`
}

// rule is a Lint of the wider set.
type rule[In any] struct {
	Name     string
	Severity Severity
	Kinds    Kinds
	Source   string
	Demands  string
	Run      func(In) error
}

func (r rule[In]) lint() Lint {
	return Lint{Name: r.Name, Severity: r.Severity, Kinds: r.Kinds, Source: r.Source, Demands: r.Demands}
}

// Lints lists every rule, those of the gate first.
func Lints() []Lint {
	var out []Lint
	for _, name := range []string{CheckCertificateForm, CheckCRLForm, CheckResponseForm, CheckRequestForm} {
		out = append(out, describe(name, formSources[name]))
	}
	for _, c := range certificateChecks {
		out = append(out, describe(c.Name, c.Source))
	}
	for _, c := range CRLChecks() {
		out = append(out, describe(c.Name, c.Source))
	}
	out = appendLints(out, derRules)
	out = appendLints(out, certificateRules)
	out = appendLints(out, crlRules)
	out = appendLints(out, responseRules)
	return appendLints(out, requestRules)
}

func appendLints[In any](out []Lint, rules []rule[In]) []Lint {
	for _, r := range rules {
		out = append(out, r.lint())
	}
	return out
}

func describe(name, source string) Lint {
	g := gate[name]
	return Lint{Name: name, Severity: g.severity, Kinds: g.kinds, Source: source, Demands: g.demands, GateOnly: g.gateOnly}
}
