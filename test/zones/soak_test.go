package zones

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/internal/ocsp"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/test/zones/zone"
)

// soakEnv is how long processes are killed, 40 s by default; make soak says 10m.
const soakEnv = "TERRACE_SOAK"

// bringUp is a whole ministry, Ready.
func (tr *tier) bringUp() {
	tr.t.Helper()
	tr.enrol()
	tr.startLedger()
	tr.startAPI()
	tr.startDirectory()
	tr.bindProcesses()
	tr.startProcesses()
	tr.declare()
	tr.certifyByRoot()
	tr.approveByOfficer()
	tr.allReady()
	for _, host := range validationHosts {
		tr.ready(host)
	}
}

// victims are killed at random: every process of ours, the LDAP servers and
// the ledger's database. Those between which a certificate comes into being twice as often.
var victims = []string{"ca", "ca", "ra", "ra", "manager", "pusher", "validation-business", "validation-public", "master", "slave-1", "slave-2", "postgres"}

// TestNothingIsLostNorDoubled kills each process at random, with SIGKILL, under
// a load of requests, approvals and revocations. Then all must be finished:
// every request that was taken has one certificate, every act was done once,
// and ledger, CRL, OCSP nodes and directories agree.
func TestNothingIsLostNorDoubled(t *testing.T) {
	ctrllog.SetLogger(logr.Discard())
	tr := newTier(t)
	tr.bringUp()
	limit := 40 * time.Second
	if text := os.Getenv(soakEnv); text != "" {
		var err error
		if limit, err = time.ParseDuration(text); err != nil {
			t.Fatalf("%s: %v", soakEnv, err)
		}
	}
	l := &load{tr: tr, applicant: tr.as("applicant", "ministry-applicants"), reviewers: []client.Client{tr.as("reviewer-1", "ministry-reviewers"), tr.as("reviewer-2", "ministry-reviewers")},
		revoker: tr.as("revoker", "ministry-revokers"), taken: map[string]*subject{}}
	loading, stop := context.WithTimeout(t.Context(), limit)
	defer stop()
	// What was begun must be finished: the grace is for the machine, not for the processes.
	finishing, giveUp := context.WithTimeout(t.Context(), limit+4*time.Minute)
	defer giveUp()
	var g errgroup.Group
	for w := range 6 {
		g.Go(func() error { return l.work(loading, finishing, w) })
	}
	kills := map[string]int{}
	for loading.Err() == nil {
		// Each in its turn, in an order of chance, so that a short run kills all.
		for _, i := range mathrand.Perm(len(victims)) {
			if loading.Err() != nil {
				break
			}
			host := victims[i]
			tr.processes[host].Kill()
			kills[host]++
			time.Sleep(time.Duration(mathrand.IntN(1500)) * time.Millisecond)
			tr.again(host)
			time.Sleep(time.Duration(mathrand.IntN(3000)) * time.Millisecond)
		}
	}
	t.Logf("kills: %v", kills)
	for host, p := range tr.processes {
		if p.Ended() {
			tr.again(host) // a process that gave up is a defect only if it gives up again
		}
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	tr.allReady()
	t.Logf("%d requests and %d acts under %d kills", len(l.taken), l.acts, sum(kills))
	l.checkLedger(t)
	l.checkAnswers(t)
	l.checkDirectories(t)
}

// again starts a killed process anew, as a service manager does: also when it
// ends at once, because what its predecessor held is not free yet.
func (tr *tier) again(host string) {
	tr.t.Helper()
	const tries = 10
	for range tries {
		p := tr.processes[host].Again()
		tr.processes[host] = p
		time.Sleep(time.Second)
		if !p.Ended() {
			return
		}
	}
	tr.t.Fatalf("%s ends again and again:\n%s", host, tr.processes[host].Log())
}

func sum(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// subject is one request and what became of it.
type subject struct {
	name string
	cert *smx509.Certificate
	// revoked, or held: what OCSP, CRL and directories must say at the end.
	revoked bool
}

// load is people at work.
type load struct {
	tr                 *tier
	applicant, revoker client.Client
	reviewers          []client.Client

	mu    sync.Mutex
	taken map[string]*subject
	acts  int
}

// work takes requests through their whole life until begin ends; what it began
// it finishes before finish ends.
func (l *load) work(begin, finish context.Context, worker int) error {
	for i := 0; begin.Err() == nil; i++ {
		s := &subject{name: fmt.Sprintf("load-%d-%d", worker, i)}
		if err := l.apply(finish, s); err != nil {
			return fmt.Errorf("request %s: %w", s.name, err)
		}
		l.mu.Lock()
		l.taken[s.name] = s
		l.mu.Unlock()
		var acts []pkiv1.RevocationAction
		switch i % 4 {
		case 1:
			acts = []pkiv1.RevocationAction{pkiv1.ActionRevoke}
		case 2:
			acts = []pkiv1.RevocationAction{pkiv1.ActionHold, pkiv1.ActionRelease}
		}
		for n, action := range acts {
			if err := l.act(finish, s, n, action); err != nil {
				return fmt.Errorf("%s of %s: %w", action, s.name, err)
			}
		}
	}
	return nil
}

// apply has a request made, approved by two, and issued.
func (l *load) apply(ctx context.Context, s *subject) error {
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	name, err := pki.ParseName("CN=" + s.name + ",O=Ministry,C=CN")
	if err != nil {
		return err
	}
	der, err := pki.CreateRequest(key, name)
	if err != nil {
		return err
	}
	r := &pkiv1.CertificateRequest{ObjectMeta: metav1.ObjectMeta{Name: s.name, Namespace: ministry}, Spec: pkiv1.CertificateRequestSpec{
		Request: pki.EncodePEM(pki.PEMRequest, der), ProfileRef: pkiv1.LocalObjectReference{Name: "person"}, RegistrationAuthorityRef: pkiv1.NamespacedReference{Name: "ra"}}}
	if err := create(ctx, l.applicant, r); err != nil {
		return err
	}
	if err := await(ctx, l.tr.admin, r, func() bool { return r.Status.RequestDigest != "" }); err != nil {
		return err
	}
	for i, reviewer := range l.reviewers {
		a := &pkiv1.Approval{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", s.name, i), Namespace: ministry}, Spec: pkiv1.ApprovalSpec{
			TargetRef: pkiv1.ApprovalTarget{Kind: "CertificateRequest", Name: s.name}, RequestDigest: r.Status.RequestDigest, Decision: pkiv1.DecisionApprove}}
		if err := create(ctx, reviewer, a); err != nil {
			return err
		}
	}
	if err := await(ctx, l.tr.admin, r, func() bool { return meta.IsStatusConditionTrue(r.Status.Conditions, pkiv1.ConditionReady) }); err != nil {
		return err
	}
	s.cert, err = pki.ParseCertificatePEM(r.Status.Certificate)
	return err
}

func (l *load) act(ctx context.Context, s *subject, n int, action pkiv1.RevocationAction) error {
	a := &pkiv1.CertificateRevocation{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", s.name, n), Namespace: ministry}, Spec: pkiv1.CertificateRevocationSpec{
		Target: pkiv1.RevocationTarget{RequestRef: &pkiv1.LocalObjectReference{Name: s.name}}, RegistrationAuthorityRef: &pkiv1.NamespacedReference{Name: "ra"}, Action: action}}
	if action == pkiv1.ActionRevoke {
		a.Spec.Reason = "KeyCompromise"
	}
	if err := create(ctx, l.revoker, a); err != nil {
		return err
	}
	if err := await(ctx, l.tr.admin, a, func() bool { return meta.IsStatusConditionTrue(a.Status.Conditions, pkiv1.ConditionReady) }); err != nil {
		return err
	}
	s.revoked = action != pkiv1.ActionRelease
	l.mu.Lock()
	l.acts++
	l.mu.Unlock()
	return nil
}

// create tries until the object is there: admission may be away.
func create(ctx context.Context, c client.Client, o client.Object) error {
	for {
		err := c.Create(ctx, o)
		if err == nil || apierrors.IsAlreadyExists(err) {
			return nil
		}
		if apierrors.IsForbidden(err) || apierrors.IsInvalid(err) || ctx.Err() != nil {
			return fmt.Errorf("create: %w", err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// await reads the object until done.
func await(ctx context.Context, c client.Client, o client.Object, done func() bool) error {
	for {
		if err := c.Get(ctx, client.ObjectKeyFromObject(o), o); err == nil && done() {
			return nil
		} else if ctx.Err() != nil {
			return fmt.Errorf("wait: %w: %v", ctx.Err(), o)
		}
		time.Sleep(250 * time.Millisecond)
	}
}

// query asks the ledger itself, and returns the first column.
func (tr *tier) query(sql string) []string {
	tr.t.Helper()
	dsn, err := os.ReadFile(tr.dir("ca", "ledger.dsn"))
	if err != nil {
		tr.t.Fatal(err)
	}
	out, err := tr.net.Run("ca", zone.Command{Name: "psql", Args: []string{postgresBin + "psql", "-At", "-d", strings.TrimSpace(string(dsn)), "-c", sql}})
	if err != nil {
		tr.t.Fatal(err)
	}
	return strings.Fields(string(out))
}

func (tr *tier) count(sql string) int {
	tr.t.Helper()
	n, err := strconv.Atoi(strings.Join(tr.query(sql), " "))
	if err != nil {
		tr.t.Fatalf("%s: %v", sql, err)
	}
	return n
}

const ofRequests = ` FROM serials s JOIN scopes o ON o.id = s.scope WHERE o.kind = 'CertificateRequest' AND s.id IN (SELECT serial_id FROM `

func (l *load) checkLedger(t *testing.T) {
	for what, c := range map[string]struct {
		got, want int
	}{
		"certificates of requests": {l.tr.count(`SELECT count(*)` + ofRequests + `issued)`), len(l.taken)},
		"requests with two certificates": {l.tr.count(`SELECT count(*) FROM (SELECT scope, name FROM serials s JOIN issued t ON t.serial_id = s.id
			GROUP BY scope, name HAVING count(*) > 1) x`), 0},
		"attempts left open":   {l.tr.count(`SELECT count(*)` + ofRequests + `attempts)`), 0},
		"acts":                 {l.tr.count(`SELECT count(*) FROM acts WHERE refusal IS NULL OR refusal = ''`), l.acts},
		"refused acts":         {l.tr.count(`SELECT count(*) FROM acts WHERE refusal <> ''`), 0},
		"audit leaves of acts": {l.tr.count(`SELECT count(*) FROM audit_leaves WHERE act IN ('revoke', 'hold', 'release')`), l.acts},
		"certificates in audit leaves": {l.tr.count(`SELECT sum((SELECT count(*) FROM json_object_keys(detail::json))) FROM audit_leaves WHERE act = 'issue'`),
			l.tr.count(`SELECT count(*) FROM issued`)},
		"gaps in the feed":            {l.tr.count(`SELECT (SELECT feed FROM heads) - count(*) FROM feed`), 0},
		"gaps among the audit leaves": {l.tr.count(`SELECT (SELECT audit FROM heads) - count(*) FROM audit_leaves`), 0},
	} {
		if c.got != c.want {
			t.Errorf("%s: the ledger has %d, want %d", what, c.got, c.want)
		}
	}
	for _, s := range l.taken {
		serial := string(pki.SerialFromInt(s.cert.SerialNumber))
		der := l.tr.query(`SELECT encode(s.tbs || t.tail, 'hex') FROM serials s JOIN issued t ON t.serial_id = s.id WHERE s.serial = '\x` + serial + `'`)
		if len(der) != 1 || !strings.HasSuffix(hex.EncodeToString(s.cert.Raw), der[0]) {
			t.Errorf("%s: the ledger has another certificate under serial %s than the request shows", s.name, serial)
		}
	}
}

// checkAnswers asks both nodes about every certificate, and for a list that is
// signed now.
func (l *load) checkAnswers(t *testing.T) {
	l.publishNow(t)
	abandoned := l.tr.query(`SELECT upper(encode(s.serial, 'hex'))` + ofRequests + `revocations) AND s.id NOT IN (SELECT serial_id FROM issued)`)
	t.Logf("%d attempts were abandoned", len(abandoned))
	want := map[string]bool{}
	for _, serial := range abandoned {
		want[serial] = true
	}
	for _, s := range l.taken {
		if s.revoked {
			want[string(pki.SerialFromInt(s.cert.SerialNumber))] = true
		}
	}
	issuer := l.issuer()
	for _, host := range validationHosts {
		l.tr.eventually(host+" has a list with every serial that is revoked, and no other", func() error { return l.listHolds(host, want) })
		l.tr.eventually(host+" answers for every certificate", func() error {
			for _, s := range l.taken {
				want := ocsp.Good
				if s.revoked {
					want = ocsp.Revoked
				}
				if got, err := l.tr.status(host, s.cert, issuer); err != nil || got != want {
					return fmt.Errorf("%s: %s, %v; want %s", s.name, got, err, want)
				}
			}
			return nil
		})
	}
}

// publishNow revokes one more certificate with a list at once.
func (l *load) publishNow(t *testing.T) {
	t.Helper()
	for _, s := range l.taken {
		if s.revoked {
			continue
		}
		a := &pkiv1.CertificateRevocation{ObjectMeta: metav1.ObjectMeta{Name: "last", Namespace: ministry}, Spec: pkiv1.CertificateRevocationSpec{
			Target:                   pkiv1.RevocationTarget{SerialNumber: strings.ToLower(string(pki.SerialFromInt(s.cert.SerialNumber)))},
			RegistrationAuthorityRef: &pkiv1.NamespacedReference{Name: "ra"}, Action: pkiv1.ActionRevoke, Reason: "Superseded", Publish: pkiv1.PublishImmediate}}
		if err := create(t.Context(), l.revoker, a); err != nil {
			t.Fatal(err)
		}
		l.tr.becomes("last revocation", client.ObjectKeyFromObject(a), a)
		s.revoked = true
		return
	}
	t.Fatal("every certificate is revoked: the load was too small")
}

func (l *load) issuer() *smx509.Certificate {
	l.tr.t.Helper()
	var ca pkiv1.BusinessCA
	if err := l.tr.admin.Get(l.tr.t.Context(), client.ObjectKey{Namespace: ministry, Name: "business"}, &ca); err != nil {
		l.tr.t.Fatal(err)
	}
	cert, err := pki.ParseCertificatePEM(ca.Status.Certificate)
	if err != nil {
		l.tr.t.Fatal(err)
	}
	return cert
}

func (l *load) listHolds(host string, want map[string]bool) error {
	var any *subject
	for _, s := range l.taken {
		any = s
		break
	}
	der, err := l.tr.fetch(host, any.cert.CRLDistributionPoints[0])
	if err != nil {
		return err
	}
	list, err := smx509.ParseRevocationList(der)
	if err != nil {
		return err
	}
	got := map[string]bool{}
	for _, e := range list.RevokedCertificateEntries {
		got[string(pki.SerialFromInt(e.SerialNumber))] = true
	}
	if len(got) != len(want) {
		return fmt.Errorf("list %v has %d entries, want %d", list.Number, len(got), len(want))
	}
	for serial := range want {
		if !got[serial] {
			return fmt.Errorf("list %v does not hold serial %s", list.Number, serial)
		}
	}
	return nil
}

// maxLooked bounds how many certificates are looked for in each directory.
const maxLooked = 150

func (l *load) checkDirectories(t *testing.T) {
	var all []*subject
	for _, s := range l.taken {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *subject) int { return strings.Compare(a.name, b.name) })
	for from, server := range map[string]string{"master": "master", "outside": "slave-1"} {
		for _, s := range all[:min(len(all), maxLooked)] {
			l.tr.eventually(server+" agrees about "+s.name, func() error {
				if !s.revoked {
					return l.tr.holds(from, server, pki.EncodePEM(pki.PEMCertificate, s.cert.Raw))
				}
				found, err := l.tr.ldapsearch(from, server, "(serialNumber="+string(pki.SerialFromInt(s.cert.SerialNumber))+")")
				if err == nil && len(found) != 0 {
					err = fmt.Errorf("a revoked certificate is there")
				}
				return err
			})
		}
	}
}
