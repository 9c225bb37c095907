package crash

import (
	"context"
	"crypto"
	"crypto/rand"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"
	"github.com/emmansun/gmsm/smx509"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/authority/authoritytest"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/device/software"
	"github.com/terrace-pki/terrace/internal/pki"
)

const childEnv = "TERRACE_TEST_CRASH_CHILD"

var caKey = authority.IssuerKey{Authority: "IndustryCA/crash/ca", Generation: 1}

// job is what a child process does: make the CA, issue one certificate, make a
// CRL, revoke the certificate, publish the next CRL.
type job struct {
	Dir, DSN string
	KillAt   authority.CommitPoint
	// Skip is how often KillAt is passed before: a CRL is made twice.
	Skip int
	// Load, when set, is what it does in place of that.
	Load *load
}

func (j job) journal() string { return filepath.Join(j.Dir, "signatures") }

type result struct {
	Serial  string
	Adopted bool
	Key     string
	// ActAdopted: the revocation had been recorded before.
	ActAdopted bool
}

func runChild(encoded string, out io.Writer) int {
	var j job
	err := json.Unmarshal([]byte(encoded), &j)
	var r result
	switch {
	case err != nil:
	case j.Load != nil:
		err = carry(context.Background(), j, out)
	default:
		if r, err = work(context.Background(), j); err == nil {
			err = json.NewEncoder(out).Encode(r)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func work(ctx context.Context, j job) (result, error) {
	store, devices, err := open(ctx, j.Dir, j.DSN, "ca")
	if err != nil {
		return result{}, err
	}
	defer store.Close()
	s := authority.New(authority.Config{Store: store, Keys: devices, AtCommitPoint: func(p authority.CommitPoint) {
		if p != j.KillAt {
			return
		}
		if j.Skip--; j.Skip < 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // the signal ends the process here
		}
	}})
	if err := s.Load(ctx); err != nil {
		return result{}, err
	}
	public, err := authoritytest.DeclareCA(ctx, s, filepath.Join(j.Dir, "root"), time.Now(), authority.Settings{Key: caKey, Device: "crash/device"})
	if err != nil {
		return result{}, err
	}
	outcome, err := issue(ctx, j, s)
	if err != nil {
		return result{}, err
	}
	if _, err := s.EnsureCRL(ctx, caKey, 0); err != nil {
		return result{}, err
	}
	done, err := revoke(ctx, s, outcome.Record)
	if err != nil {
		return result{}, err
	}
	return result{Serial: string(outcome.Record.Serial), Adopted: outcome.Adopted, Key: hex.EncodeToString(public), ActAdopted: done.Adopted}, nil
}

// open opens the ledger as an instance, and the device that keeps a journal.
func open(ctx context.Context, dir, dsn, instance string) (authority.Store, *device.Registry, error) {
	keystore, err := software.Open(software.Config{Dir: filepath.Join(dir, "keystore"), Password: []byte("crash-test")})
	if err != nil {
		return nil, nil, err
	}
	devices := device.NewRegistry()
	if err := devices.Put("crash/device", journaled{keystore, job{Dir: dir}.journal()}); err != nil {
		return nil, nil, err
	}
	store, err := openStore(ctx, dsn, instance)
	return store, devices, err
}

var revokedAt = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// revoke performs the one act and publishes its list, as a controller does.
func revoke(ctx context.Context, s *authority.Service, of authority.Record) (authority.Performed, error) {
	done, err := s.Perform(ctx, authority.Act{
		Identity: authority.Identity{Kind: "CertificateRevocation", Namespace: "crash", Name: "first", Digest: sm3.Sum([]byte("revoke first"))},
		Issuer:   of.Issuer, Serial: of.Serial, Verb: authority.VerbRevoke, Reason: pki.ReasonKeyCompromise, At: revokedAt,
	})
	if err != nil {
		return authority.Performed{}, err
	}
	_, err = s.Publish(ctx, of.Issuer, of.Shard)
	return done, err
}

func issue(ctx context.Context, j job, s *authority.Service) (authority.Outcome, error) {
	o, err := order(j, "first")
	if err != nil {
		return authority.Outcome{}, err
	}
	out, err := s.Issue(ctx, caKey, []authority.Order{o})
	if err != nil {
		return authority.Outcome{}, err
	}
	return out[0], out[0].Err
}

func order(j job, request string) (authority.Order, error) {
	key, err := subscriberKey(filepath.Join(j.Dir, "subscriber.key"))
	if err != nil {
		return authority.Order{}, err
	}
	name, err := pki.ParseName("CN=Subscriber,O=Test,C=CN")
	if err != nil {
		return authority.Order{}, err
	}
	profile := pki.Profile{Name: "device", KeyUsage: pki.KeyUsageDigitalSignature, Validity: 24 * time.Hour, Backdate: time.Minute,
		Subject: []pki.SubjectRule{{Type: "C", Presence: pki.Required, MaxLength: 2}, {Type: "O", Presence: pki.Required, MaxLength: 64}, {Type: "CN", Presence: pki.Required, MaxLength: 64}}}
	return authority.Order{
		Identity: authority.Identity{Kind: "CertificateRequest", Namespace: "crash", Name: request, Digest: sm3.Sum([]byte(request))},
		Profile:  profile, Subject: name, PublicKey: &key.PublicKey,
	}, nil
}

func subscriberKey(path string) (*sm2.PrivateKey, error) {
	if b, err := os.ReadFile(path); err == nil {
		k, err := smx509.ParsePKCS8PrivateKey(b)
		if err != nil {
			return nil, err
		}
		return k.(*sm2.PrivateKey), nil
	}
	k, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := smx509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, err
	}
	return k, os.WriteFile(path, der, 0o600)
}

// journaled writes each message that was signed to a file before the signature
// is returned: what the device did, whatever became of the process.
type journaled struct {
	device.Device
	path string
}

func (d journaled) Key(ctx context.Context, label string) (crypto.MessageSigner, error) {
	k, err := d.Device.Key(ctx, label)
	return journaledKey{k, d.path}, err
}

func (d journaled) GenerateKey(ctx context.Context, label string) (crypto.MessageSigner, error) {
	k, err := d.Device.GenerateKey(ctx, label)
	return journaledKey{k, d.path}, err
}

type journaledKey struct {
	crypto.MessageSigner
	path string
}

func (k journaledKey) SignMessage(random io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	sig, err := k.MessageSigner.SignMessage(random, message, opts)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(k.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintln(f, hex.EncodeToString(message))
	return sig, errors.Join(err, f.Close()) // SIGKILL takes nothing from the kernel
}

// serialOf reads the serial of a TBSCertificate; a CRL or request is an error.
func serialOf(tbs []byte) (pki.Serial, error) {
	var outer asn1.RawValue
	var version int
	var serial *big.Int
	if _, err := asn1.Unmarshal(tbs, &outer); err != nil {
		return "", err
	}
	rest, err := asn1.UnmarshalWithParams(outer.Bytes, &version, "explicit,tag:0")
	if err != nil {
		return "", err
	}
	if _, err := asn1.Unmarshal(rest, &serial); err != nil {
		return "", err
	}
	return pki.SerialFromInt(serial), nil
}
