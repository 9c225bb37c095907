package transport

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"maps"
	"net"
	"slices"
	"time"
)

// Names of the files of a process, which are also the keys of its Secret.
const (
	CAFile   = "ca.crt"  // all transport CAs that peers may have a leaf of, newest first
	CertFile = "tls.crt" // the leaf; in the CA's own material the CA certificate that issues
	KeyFile  = "tls.key" // its key, PKCS#8
)

// More keys of the CA's own material.
const (
	nextCertFile = "next.crt" // a CA that peers are to trust before it issues
	nextKeyFile  = "next.key"
	sinceFile    = "since" // RFC 3339: when the issuing CA began to issue
)

// Spread is how long a new transport CA stands in every bundle before it
// issues: whoever is offline for longer than that needs its folder brought up
// to date before it can speak with renewed peers.
const Spread = 24 * time.Hour

// Material is what belongs to one process, or to the CA, by file name.
type Material map[string][]byte

// State is everything that Ensure looks after. Authority holds the CA's keys
// and belongs to whoever runs Ensure alone.
type State struct {
	Authority Material
	Leaves    map[string]Material // by the process's name
}

// Step is one thing that is due.
type Step struct {
	// Subject is "transport CA" or a process's name.
	Subject string
	// Reason is why, in a few words.
	Reason string
}

// Plan is what is due, and when to look again.
type Plan struct {
	Steps []Step
	// Next is the earliest time at which something else will be due.
	Next time.Time
}

// MakePlan says what Ensure would do at now. It does the same and throws the
// keys away, so that the two cannot differ.
func MakePlan(now time.Time, s State, processes []Process) (Plan, error) {
	_, plan, err := ensure(now, s, processes)
	return plan, err
}

// Ensure returns the state in which everything that is due at now has been made
// or renewed, and whether it differs from s, which is left as it is:
//
//   - a missing CA is made;
//   - at 2/3 of its life the next CA is made and joins the bundle of every
//     process; Spread later it issues; the old one leaves the bundles when
//     its last leaf has ended;
//   - a leaf is made when it is missing, damaged, for other hosts, of another
//     CA than the issuing one, or past 2/3 of its life.
//
// Leaves of processes that are not listed are kept as they are. A CA that
// cannot be read is an error and is never replaced: no process would trust the
// new one. Ensure is a function of its arguments but for the keys it draws.
func Ensure(now time.Time, s State, processes []Process) (next State, changed bool, err error) {
	next, plan, err := ensure(now, s, processes)
	return next, len(plan.Steps) > 0, err
}

func ensure(now time.Time, s State, processes []Process) (State, Plan, error) {
	out := State{Authority: maps.Clone(s.Authority), Leaves: map[string]Material{}}
	maps.Copy(out.Leaves, s.Leaves)
	var plan Plan

	a, err := readAuthorities(s.Authority)
	if err != nil {
		return s, Plan{}, err
	}
	reasons, err := a.advance(now)
	if err != nil {
		return s, Plan{}, err
	}
	for _, reason := range reasons {
		plan.Steps = append(plan.Steps, Step{Subject: "transport CA", Reason: reason})
	}
	if len(plan.Steps) > 0 {
		if out.Authority, err = a.material(); err != nil {
			return s, Plan{}, err
		}
	}
	plan.Next = a.due()
	bundle := a.bundlePEM()
	seen := map[string]bool{}
	for _, p := range processes {
		if err := p.Validate(); err != nil {
			return s, Plan{}, err
		}
		if seen[p.Name] {
			return s, Plan{}, fmt.Errorf("process %q is listed twice", p.Name)
		}
		seen[p.Name] = true
		m, reason, err := a.ensureLeaf(now, p, s.Leaves[p.Name], bundle)
		if err != nil {
			return s, Plan{}, err
		}
		if reason != "" {
			plan.Steps = append(plan.Steps, Step{Subject: p.Name, Reason: reason})
			out.Leaves[p.Name] = m
		}
		if cert, err := parseCertificates(m[CertFile]); err == nil {
			if due := twoThirds(cert[0]); due.Before(plan.Next) {
				plan.Next = due
			}
		}
	}
	return out, plan, nil
}

// ensureLeaf returns what a process should hold, and why that is something new.
func (a *authorities) ensureLeaf(now time.Time, p Process, m Material, bundle []byte) (Material, string, error) {
	reason := a.leafDue(now, p, m)
	if reason == "" {
		if bytes.Equal(m[CAFile], bundle) {
			return m, "", nil
		}
		m = maps.Clone(m)
		m[CAFile] = bundle
		return m, "the bundle of transport CAs changed", nil
	}
	cert, key, err := a.current.Issue(now, p)
	if err != nil {
		return nil, "", err
	}
	return Material{CAFile: bundle, CertFile: cert, KeyFile: key}, reason, nil
}

func (a *authorities) leafDue(now time.Time, p Process, m Material) string {
	if len(m[CertFile]) == 0 || len(m[KeyFile]) == 0 {
		return "is missing"
	}
	certs, err := parseCertificates(m[CertFile])
	if err != nil {
		return "certificate is damaged"
	}
	key, err := parseKey(m[KeyFile])
	if err != nil || !key.PublicKey.Equal(certs[0].PublicKey) {
		return "key does not fit the certificate"
	}
	c := certs[0]
	dns, ips := p.split()
	sameIPs := slices.EqualFunc(c.IPAddresses, ips, net.IP.Equal) // IPv4 has two forms
	switch {
	case c.CheckSignatureFrom(a.current.cert) != nil:
		return "is of another transport CA than the one that issues"
	case c.Subject.CommonName != p.Name, !slices.Equal(c.DNSNames, dns), !sameIPs:
		return "name or hosts changed"
	case now.Before(c.NotBefore):
		return "begins in the future; a clock was set back"
	case !now.Before(twoThirds(c)):
		return "is past two thirds of its life"
	}
	return ""
}

func twoThirds(c *x509.Certificate) time.Time {
	return c.NotBefore.Add(c.NotAfter.Sub(c.NotBefore) / 3 * 2)
}

// authorities are the generations of the transport CA.
type authorities struct {
	current *Authority
	next    *Authority // nil when none is being spread
	since   time.Time  // when current began to issue
	old     []*x509.Certificate
}

func readAuthorities(m Material) (*authorities, error) {
	if len(m) == 0 {
		return &authorities{}, nil
	}
	const cure = "restore it from a backup, or remove it as a whole and every process's folder or Secret with it"
	current, err := ParseAuthority(m[CertFile], m[KeyFile])
	if err != nil {
		return nil, fmt.Errorf("%w; %s", err, cure)
	}
	a := &authorities{current: current}
	if a.since, err = time.Parse(time.RFC3339, string(m[sinceFile])); err != nil {
		return nil, fmt.Errorf("read transport CA: %s: is no time in RFC 3339; %s", sinceFile, cure)
	}
	if len(m[nextCertFile]) > 0 || len(m[nextKeyFile]) > 0 {
		if a.next, err = ParseAuthority(m[nextCertFile], m[nextKeyFile]); err != nil {
			return nil, fmt.Errorf("next: %w; %s", err, cure)
		}
	}
	bundle, err := parseCertificates(m[CAFile])
	if err != nil {
		return nil, fmt.Errorf("read transport CA: %s: %w; %s", CAFile, err, cure)
	}
	for _, c := range bundle {
		if !c.Equal(current.cert) && (a.next == nil || !c.Equal(a.next.cert)) {
			a.old = append(a.old, c)
		}
	}
	return a, nil
}

// advance takes the steps that are due, in order, and says why each.
func (a *authorities) advance(now time.Time) (reasons []string, err error) {
	did := func(text string) { reasons = append(reasons, text) }
	ended := a.current != nil && !now.Before(a.current.cert.NotAfter)
	if a.current == nil || (ended && a.next == nil) {
		// All leaves have ended with it: nothing is left that an overlap would serve.
		fresh, err := NewAuthority(now)
		if err != nil {
			return nil, err
		}
		*a = authorities{current: fresh, since: now.UTC().Truncate(time.Second)}
		if ended {
			return []string{"has ended"}, nil
		}
		return []string{"is missing"}, nil
	}
	if a.next == nil && !now.Before(twoThirds(a.current.cert)) {
		if a.next, err = NewAuthority(now); err != nil {
			return nil, err
		}
		did("is past two thirds of its life; peers are told of the next one")
	}
	if a.next != nil && (ended || !now.Before(a.issueFrom())) {
		a.old = append([]*x509.Certificate{a.current.cert}, a.old...)
		a.current, a.next, a.since = a.next, nil, now.UTC().Truncate(time.Second)
		did("the next one issues from now on")
	}
	if len(a.old) > 0 && !now.Before(a.since.Add(LeafLife)) {
		a.old = nil
		did("the old one's last leaf has ended; it is trusted no more")
	}
	return reasons, nil
}

// issueFrom is when the next CA may issue: everybody has had Spread to learn of it.
func (a *authorities) issueFrom() time.Time { return a.next.cert.NotBefore.Add(Backdate + Spread) }

// due is when advance will have something to do.
func (a *authorities) due() time.Time {
	due := twoThirds(a.current.cert)
	if a.next != nil {
		due = a.issueFrom()
	}
	if end := a.since.Add(LeafLife); len(a.old) > 0 && end.Before(due) {
		due = end
	}
	return due
}

// bundlePEM is what all processes trust: next, current, old.
func (a *authorities) bundlePEM() []byte {
	var b []byte
	if a.next != nil {
		b = append(b, encodeCertificate(a.next.cert.Raw)...)
	}
	b = append(b, encodeCertificate(a.current.cert.Raw)...)
	for _, c := range a.old {
		b = append(b, encodeCertificate(c.Raw)...)
	}
	return b
}

func (a *authorities) material() (Material, error) {
	cert, key, err := a.current.PEM()
	if err != nil {
		return nil, err
	}
	m := Material{CAFile: a.bundlePEM(), CertFile: cert, KeyFile: key, sinceFile: []byte(a.since.Format(time.RFC3339))}
	if a.next == nil {
		return m, nil
	}
	if m[nextCertFile], m[nextKeyFile], err = a.next.PEM(); err != nil {
		return nil, fmt.Errorf("next: %w", err)
	}
	return m, nil
}
