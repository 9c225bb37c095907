package link

import (
	"crypto/ecdsa"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/transport/reload"
)

// Bounds of a peers file.
const (
	maxPeersFile = 1 << 20 // bytes
	maxPeers     = 256
	maxActsFor   = 1024 // entries of one list of one peer
)

// Peer is another process, as the local peers file describes it.
type Peer struct {
	// Name is the common name of its transport certificate.
	Name      string
	PublicKey *ecdsa.PublicKey
	// Authorities are the CAs that it may ask to act, "BusinessCA/namespace/name"
	// or "IndustryCA/namespace/name". There is no wildcard.
	Authorities []string
	// RegistrationAuthorities are the RAs that it may speak for, "namespace/name".
	RegistrationAuthorities []string
	// Namespaces are those whose objects it may bring: names are used up for ever,
	// and those of other namespaces are not its own. "*" alone is all of them.
	Namespaces []string
}

// anyNamespace is the one wildcard of a peers file.
const anyNamespace = "*"

// MayAct returns nil when the peer may ask this authority to act, else an error
// that wraps ErrForbidden.
func (p Peer) MayAct(authority string) error {
	return p.may("authorities", authority, p.Authorities)
}

// MayActForRegistration returns nil when the peer may speak for this RA, else
// an error that wraps ErrForbidden.
func (p Peer) MayActForRegistration(ra string) error {
	return p.may("registrationAuthorities", ra, p.RegistrationAuthorities)
}

// MayBring returns nil when the peer may bring objects of this namespace, else an
// error that wraps ErrForbidden.
func (p Peer) MayBring(namespace string) error {
	if namespace != "" && slices.Contains(p.Namespaces, anyNamespace) {
		return nil
	}
	return p.may("namespaces", namespace, p.Namespaces)
}

func (p Peer) may(field, what string, list []string) error {
	if slices.Contains(list, what) {
		return nil
	}
	return fmt.Errorf("%w: %.200q is not among the %s of %q in the peers file", ErrForbidden, what, field, p.Name)
}

// Directory knows the peers.
type Directory interface {
	Peer(name string) (Peer, bool)
}

// StaticPeers is a Directory that does not change, by name.
type StaticPeers map[string]Peer

// Peer implements Directory.
func (s StaticPeers) Peer(name string) (Peer, bool) { p, ok := s[name]; return p, ok }

// PeersFile is a Directory in a file that only the administrator of this host
// can change; it is read again when it is replaced. Its form is
//
//	peers:
//	- name: ra
//	  publicKey: |
//	    -----BEGIN PUBLIC KEY-----
//	    ...
//	  authorities: [BusinessCA/ministry/province]
//	  registrationAuthorities: [ministry/ra]
//	  namespaces: [ministry, ministry-people]
//
// Unknown and repeated fields are refused.
type PeersFile struct {
	files *reload.Files[StaticPeers]
}

// OpenPeers reads the file, or says what is wrong in it.
func OpenPeers(path string) (*PeersFile, error) {
	files, err := reload.Open(func() (StaticPeers, error) {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read peers: %w", err)
		}
		peers, err := ParsePeers(b)
		if err != nil {
			return nil, fmt.Errorf("read peers: %s: %w", path, err)
		}
		return peers, nil
	}, path)
	if err != nil {
		return nil, err
	}
	return &PeersFile{files: files}, nil
}

// Peer implements Directory.
func (f *PeersFile) Peer(name string) (Peer, bool) { return f.files.Get().Peer(name) }

// Names returns the names of all peers, in no order.
func (f *PeersFile) Names() []string { return slices.Collect(maps.Keys(f.files.Get())) }

// Check says, for readiness, that the file was replaced by one that cannot be
// used; until it is cured the peers from before are in force.
func (f *PeersFile) Check() error { return f.files.Err() }

// Allowed says whether the file names the process, for transport's ServerTLSFor.
func (f *PeersFile) Allowed(name string) bool { _, ok := f.Peer(name); return ok }

type peersDocument struct {
	Peers []peerEntry `json:"peers"`
}

type peerEntry struct {
	Name                    string   `json:"name"`
	PublicKey               string   `json:"publicKey"`
	Authorities             []string `json:"authorities"`
	RegistrationAuthorities []string `json:"registrationAuthorities"`
	Namespaces              []string `json:"namespaces"`
}

var (
	peerName         = regexp.MustCompile(`^[a-z0-9]([-.a-z0-9]{0,61}[a-z0-9])?$`)
	authorityName    = regexp.MustCompile(`^(BusinessCA|IndustryCA)/[-a-z0-9]{1,63}/[-.a-z0-9]{1,253}$`)
	namespaceName    = regexp.MustCompile(`^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?|\*)$`)
	registrationName = regexp.MustCompile(`^[-a-z0-9]{1,63}/[-.a-z0-9]{1,253}$`)
)

// ParsePeers reads the content of a peers file of at most 1 MiB and 256 peers.
func ParsePeers(b []byte) (StaticPeers, error) {
	if len(b) > maxPeersFile {
		return nil, fmt.Errorf("has %d bytes, at most %d are allowed", len(b), maxPeersFile)
	}
	var doc peersDocument
	if err := yaml.UnmarshalStrict(b, &doc); err != nil {
		return nil, err
	}
	if len(doc.Peers) > maxPeers {
		return nil, fmt.Errorf("peers: has %d entries, at most %d are allowed", len(doc.Peers), maxPeers)
	}
	peers := StaticPeers{}
	for i, e := range doc.Peers {
		p, err := e.peer()
		if err != nil {
			return nil, fmt.Errorf("peers[%d]: %w", i, err)
		}
		if _, ok := peers[p.Name]; ok {
			return nil, fmt.Errorf("peers[%d]: name %q is listed twice", i, p.Name)
		}
		// One key, one process: else a message of one could pass for the other's.
		for _, other := range peers {
			if other.PublicKey.Equal(p.PublicKey) {
				return nil, fmt.Errorf("peers[%d]: publicKey is also that of %q; each process makes its own", i, other.Name)
			}
		}
		peers[p.Name] = p
	}
	return peers, nil
}

func (e peerEntry) peer() (Peer, error) {
	if !peerName.MatchString(e.Name) {
		return Peer{}, fmt.Errorf("name %.80q: want the common name of its transport certificate: at most 63 lower case letters, digits, '-' and '.'", e.Name)
	}
	key, err := parsePublicKey(e.PublicKey)
	if err != nil {
		return Peer{}, fmt.Errorf("publicKey of %q: %w", e.Name, err)
	}
	for _, l := range []struct {
		field string
		list  []string
		want  *regexp.Regexp
		form  string
	}{
		{"authorities", e.Authorities, authorityName, "BusinessCA/namespace/name or IndustryCA/namespace/name"},
		{"registrationAuthorities", e.RegistrationAuthorities, registrationName, "namespace/name"},
		{"namespaces", e.Namespaces, namespaceName, "the name of a namespace, or * for all"},
	} {
		if len(l.list) > maxActsFor {
			return Peer{}, fmt.Errorf("%s of %q: has %d entries, at most %d are allowed", l.field, e.Name, len(l.list), maxActsFor)
		}
		for _, v := range l.list {
			if !l.want.MatchString(v) {
				return Peer{}, fmt.Errorf("%s of %q: %.200q: want %s", l.field, e.Name, v, l.form)
			}
		}
	}
	return Peer{Name: e.Name, PublicKey: key, Authorities: e.Authorities, RegistrationAuthorities: e.RegistrationAuthorities, Namespaces: e.Namespaces}, nil
}

func parsePublicKey(s string) (*ecdsa.PublicKey, error) {
	block, rest := pem.Decode([]byte(s))
	if block == nil || block.Type != pemPublicKey || len(strings.TrimSpace(string(rest))) > 0 {
		return nil, errors.New("want one PEM block \"" + pemPublicKey + "\", as the process prints it")
	}
	return pki.ParseSM2SPKI(block.Bytes)
}
