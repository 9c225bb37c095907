package bench

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/issuing"
	"github.com/terrace-pki/terrace/internal/nationalroot"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/registration"
)

// deviceName of the device that a stage is given.
const deviceName = "bench/device"

// caName of the CA that a stage makes. It is a name of its own, so that a bench
// on a ledger that is in use touches nobody's certificates.
const caName = "BusinessCA/terrace-bench/bench"

// The validation service that answers for the CA of a bench, and the node that
// does it.
const (
	ServiceNamespace, ServiceName = "terrace-bench", "bench"
	NodeName                      = "terrace-bench"
	BaseURL                       = "http://pki.bench.example"
)

// Stage is a CA to be measured, on a real ledger and a real device.
type Stage struct {
	Authorities *authority.Service
	store       authority.Store
	desk        *issuing.Desk
	key         authority.IssuerKey
	// run tells the identities of this run from those of others.
	run      string
	requests [][]byte // PKCS #10, DER
}

// distinctRequests are made beforehand; each is used for many identities, for
// making keys is the applicant's work and not the CA's.
const distinctRequests = 512

// NewStage makes a CA in dev, certified by a root in rootDir, on store. Again
// with the same, it finds the same CA.
func NewStage(ctx context.Context, store authority.Store, dev device.Device, rootDir string, shards int32) (*Stage, error) {
	devices := device.NewRegistry()
	if err := devices.Put(deviceName, dev); err != nil {
		return nil, err
	}
	s := &Stage{store: store, Authorities: authority.New(authority.Config{Store: store, Keys: devices}), key: authority.IssuerKey{Authority: caName, Generation: 1},
		run: strconv.FormatInt(time.Now().UnixNano(), 36)}
	if err := s.declare(ctx, rootDir, shards); err != nil {
		return nil, fmt.Errorf("make the CA of the bench: %w", err)
	}
	s.desk = issuing.NewDesk(s.Authorities)
	for i := range distinctRequests {
		der, err := request(i)
		if err != nil {
			return nil, err
		}
		s.requests = append(s.requests, der)
	}
	return s, nil
}

// declare does what the controllers do for a CA.
func (s *Stage) declare(ctx context.Context, rootDir string, shards int32) error {
	signer, k, err := s.Authorities.EnsureKey(ctx, caName, s.key.Generation, deviceName)
	if err != nil {
		return err
	}
	name, err := pki.ParseName("CN=Bench CA,O=Terrace,C=CN")
	if err != nil {
		return err
	}
	csr, err := s.Authorities.EnsureRequest(ctx, signer, caName, s.key.Generation, name)
	if err != nil {
		return err
	}
	root, err := nationalroot.Open(ctx, rootDir, time.Now())
	if err != nil {
		return err
	}
	certificate, err := root.Certify(pki.EncodePEM(pki.PEMRequest, csr), time.Now())
	if err != nil {
		return err
	}
	cert, err := pki.ParseCertificatePEM(certificate)
	if err != nil {
		return err
	}
	return s.Authorities.Accept(ctx, authority.Settings{Key: s.key, Device: deviceName, Label: k.Label, Certificate: cert.Raw,
		CRLInterval: 24 * time.Hour, CRLOverlap: 24 * time.Hour, Shards: shards, BaseURL: BaseURL, Validation: ServiceNamespace + "/" + ServiceName})
}

func request(i int) ([]byte, error) {
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	name, err := pki.ParseName(fmt.Sprintf("CN=Subscriber %d,O=Bench,C=CN", i))
	if err != nil {
		return nil, err
	}
	return pki.CreateRequest(key, name)
}

// profile of the certificates: a person's signing certificate.
var profile = pki.Profile{Name: "bench", KeyUsage: pki.KeyUsagesSigning, Validity: 26280 * time.Hour, Backdate: time.Minute,
	Subject: []pki.SubjectRule{{Type: "C", Presence: pki.Fixed, Value: "CN"}, {Type: "O", Presence: pki.Optional}, {Type: "CN", Presence: pki.Required}}}

// order n of this run.
func (s *Stage) order(n int) registration.Order {
	name := s.run + "-" + strconv.Itoa(n)
	return registration.Order{Identity: authority.Identity{Kind: "CertificateRequest", Namespace: "terrace-bench", Name: name, Digest: sm3.Sum([]byte(name))},
		RegistrationAuthority: "terrace-bench/ra", Request: s.requests[n%len(s.requests)], Profile: profile}
}

// orders are size of this run, from first.
func (s *Stage) orders(first, size int) []registration.Order {
	orders := make([]registration.Order, size)
	for i := range orders {
		orders[i] = s.order(first + i)
	}
	return orders
}

// durably adds to a measurement what durability cost it.
func (s *Stage) durably(ctx context.Context, measure func() (Result, error)) (Result, error) {
	store, ok := s.store.(authority.Durable)
	if !ok {
		return measure()
	}
	before := store.Commits()
	r, err := measure()
	if err != nil {
		return r, err
	}
	r.Commits = float64(store.Commits()-before) / float64(max(r.Operations, 1))
	r.Durability, err = store.Durability(ctx)
	return r, err
}
