package directory_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/controllertest"
	directorycontroller "github.com/terrace-pki/terrace/controllers/directory"
	"github.com/terrace-pki/terrace/directory/slapd"
	"github.com/terrace-pki/terrace/directory/slapd/slapdtest"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/publishing"
	pt "github.com/terrace-pki/terrace/internal/publishing/publishingtest"
	"github.com/terrace-pki/terrace/internal/pushing"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
)

func TestMain(m *testing.M) {
	controllertest.Main(m, func(ctx context.Context, path string) (authority.Store, error) {
		return sqlite.Open(ctx, sqlite.Config{Path: path, TakeOver: true})
	})
}

// clock moves on by itself and can be set forward.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// fixture is both processes with a tier, a master and a slave.
type fixture struct {
	*controllertest.Tier
	clock         *clock
	master, slave *slapdtest.Server
	onMaster      *directorycontroller.Master
	onSlaves      *directorycontroller.Slaves
	object        *pkiv1.Directory
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{Tier: controllertest.New(t), clock: &clock{}, master: slapdtest.Start(t, slapd.Master, nil), slave: slapdtest.Start(t, slapd.Slave, nil)}
	t.Cleanup(pt.Go(func(ctx context.Context) error { return f.Authorities.WatchLedger(ctx, logr.Discard()) }))
	// Two processes: each knows the passwords that it read itself.
	ca, pusher := publishing.NewPasswords(""), publishing.NewPasswords("")
	publisher := publishing.New(publishing.Config{Store: f.Store, Changed: f.Authorities.Changed, Open: pt.Opener(ca)})
	push, err := pushing.Open(pushing.Config{Dir: t.TempDir(), Open: pt.Opener(pusher), Interval: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pt.Go(func(ctx context.Context) error { return publisher.Run(ctx, logr.Discard()) }))
	t.Cleanup(pt.Go(func(ctx context.Context) error { return push.Run(ctx, logr.Discard()) }))
	f.onMaster = &directorycontroller.Master{Client: f.Client, Publishing: publisher, Passwords: ca, Now: f.clock.now}
	f.onSlaves = &directorycontroller.Slaves{Client: f.Client, Pushing: push, Passwords: pusher, Now: f.clock.now}
	f.object = &pkiv1.Directory{ObjectMeta: f.Meta("directory"), Spec: pkiv1.DirectorySpec{BaseDN: slapdtest.Base,
		VerifyInterval: metav1.Duration{Duration: time.Hour},
		Master:         f.server(t, "master", slapdtest.Writer, f.master),
		Reader:         &pkiv1.DirectoryAccount{BindDN: slapd.AccountDN(slapdtest.Replicator), PasswordSecretRef: pkiv1.SecretKeyReference{Name: "reader", Key: "password"}},
		Slaves:         []pkiv1.DirectoryServer{f.server(t, "slave-1", slapdtest.Writer, f.slave)}}}
	return f
}

func (f *fixture) server(t *testing.T, name, account string, s *slapdtest.Server) pkiv1.DirectoryServer {
	t.Helper()
	bundle, err := os.ReadFile(s.Config.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	return pkiv1.DirectoryServer{Name: name, URL: "ldaps://" + s.Config.Address, BindDN: slapd.AccountDN(account), CABundle: bundle,
		PasswordSecretRef: pkiv1.SecretKeyReference{Name: name, Key: "password"}}
}

func (f *fixture) secrets(t *testing.T) {
	t.Helper()
	f.secret(t, "master", pkiv1.SecretTypeBindPassword, slapdtest.Writer)
	f.secret(t, "reader", pkiv1.SecretTypeBindPassword, slapdtest.Replicator)
	f.secret(t, "slave-1", pkiv1.SecretTypeBindPassword, slapdtest.Writer)
}

func (f *fixture) secret(t *testing.T, name string, typ corev1.SecretType, password string) {
	t.Helper()
	f.Create(t, &corev1.Secret{ObjectMeta: f.Meta(name), Type: typ, Data: map[string][]byte{"password": []byte(password)}})
}

func (f *fixture) reconcile(t *testing.T) {
	t.Helper()
	if _, err := controllertest.Reconcile(t, f.Client, f.onMaster, f.object); err != nil {
		t.Fatal(err)
	}
	if _, err := controllertest.Reconcile(t, f.Client, f.onSlaves, f.object); err != nil {
		t.Fatal(err)
	}
}

// await reconciles until a condition is as wanted.
func (f *fixture) await(t *testing.T, condition, want string) {
	t.Helper()
	pt.Eventually(t, 30*time.Second, condition, func() error {
		f.reconcile(t)
		if got := controllertest.Reason(f.object, condition); got != want {
			return fmt.Errorf("is %s (%s), want %s", got, controllertest.Message(f.object, condition), want)
		}
		return nil
	})
}

func (f *fixture) setSecret(t *testing.T, name, value string) {
	t.Helper()
	var s corev1.Secret
	if err := f.Client.Get(t.Context(), client.ObjectKey{Namespace: f.Namespace, Name: name}, &s); err != nil {
		t.Fatal(err)
	}
	s.Data["password"] = []byte(value)
	f.Update(t, &s)
	f.clock.add(time.Minute) // the pusher may not watch Secrets
}

func TestReadyAndWhoOwnsWhat(t *testing.T) {
	f := newFixture(t)
	f.secrets(t)
	f.Create(t, f.object)
	f.await(t, pkiv1.ConditionReady, "True/Succeeded")
	st := f.object.Status
	if st.ObservedGeneration != f.object.Generation {
		t.Errorf("observed generation %d, want %d", st.ObservedGeneration, f.object.Generation)
	}
	if len(st.Servers) != 2 {
		t.Fatalf("servers %+v, want master and slave", st.Servers)
	}
	for _, s := range st.Servers {
		if s.State != string(publishing.InStep) || (s.Role == "Master") != (s.Name == "master") {
			t.Errorf("server %+v", s)
		}
	}
	want := map[string][]string{
		"terrace-ca": {`f:conditions k:{"type":"MasterPublished"}`, `f:servers k:{"name":"master"}`},
		"terrace-pusher": {`f:conditions k:{"type":"Ready"}`, `f:conditions k:{"type":"SlavesPushed"}`, "f:observedGeneration",
			`f:servers k:{"name":"slave-1"}`},
	}
	if diff := cmp.Diff(want, owned(t, f.object)); diff != "" {
		t.Errorf("owners of the status (-want +got):\n%s", diff)
	}
	if meta.FindStatusCondition(st.Conditions, pkiv1.ConditionReconciling) != nil {
		t.Error("Ready and Reconciling at once")
	}
}

// owned lists the fields of the status by their owner.
func owned(t *testing.T, o client.Object) map[string][]string {
	t.Helper()
	owns := map[string][]string{}
	for _, m := range o.GetManagedFields() {
		if m.Subresource != "status" {
			continue
		}
		var fields struct {
			Status map[string]map[string]any `json:"f:status"`
		}
		if err := json.Unmarshal(m.FieldsV1.GetRawBytes(), &fields); err != nil {
			t.Fatal(err)
		}
		for field, items := range fields.Status {
			if len(items) == 0 {
				owns[m.Manager] = append(owns[m.Manager], field)
			}
			for item := range items {
				if item != "." {
					owns[m.Manager] = append(owns[m.Manager], field+" "+item)
				}
			}
		}
		slices.Sort(owns[m.Manager])
	}
	return owns
}

// Every look with the same states writes nothing; numbers wait for 30 s.
func TestNumbersAreWrittenSeldom(t *testing.T) {
	f := newFixture(t)
	f.secrets(t)
	f.Create(t, f.object)
	f.await(t, pkiv1.ConditionReady, "True/Succeeded")
	f.clock.add(time.Minute)
	// The first comparisons end at about this time.
	pt.Eventually(t, 20*time.Second, "first comparisons are shown", func() error {
		f.clock.add(time.Minute)
		f.reconcile(t)
		for _, s := range f.object.Status.Servers {
			if s.VerifiedAt == nil {
				return errors.New(s.Name)
			}
		}
		return nil
	})
	version := f.object.ResourceVersion
	for range 5 {
		f.reconcile(t)
	}
	if f.object.ResourceVersion != version {
		t.Errorf("looking alone wrote the object")
	}
}

func TestReasons(t *testing.T) {
	f := newFixture(t)
	f.Create(t, f.object)
	f.await(t, pkiv1.ConditionMasterPublished, "False/"+pkiv1.ReasonReferenceNotFound)
	f.await(t, pkiv1.ConditionSlavesPushed, "False/"+pkiv1.ReasonReferenceNotFound)
	f.await(t, pkiv1.ConditionReady, "False/"+pkiv1.ReasonReferenceNotFound)
	f.secrets(t)
	f.clock.add(time.Minute)
	f.await(t, pkiv1.ConditionReady, "True/Succeeded")

	f.setSecret(t, "slave-1", "wrong")
	f.await(t, pkiv1.ConditionSlavesPushed, "False/"+pkiv1.ReasonCredentialsRefused)
	f.await(t, pkiv1.ConditionReady, "False/"+pkiv1.ReasonCredentialsRefused)
	if strings.Contains(controllertest.Message(f.object, pkiv1.ConditionSlavesPushed), "wrong") {
		t.Error("the message has the password")
	}
	f.await(t, pkiv1.ConditionReconciling, "True/"+pkiv1.ReasonCredentialsRefused)
	f.setSecret(t, "slave-1", slapdtest.Writer)
	f.await(t, pkiv1.ConditionReady, "True/Succeeded")

	f.slave.Stop(t)
	f.clock.add(time.Minute) // a slave whose connection ended is looked at once in a while
	f.await(t, pkiv1.ConditionSlavesPushed, "False/"+pkiv1.ReasonDirectoryUnavailable)
	if got := controllertest.Reason(f.object, pkiv1.ConditionMasterPublished); got != "True/Succeeded" {
		t.Errorf("with the slave down the master is %s", got)
	}
}

func TestInvalidSpecStalls(t *testing.T) {
	f := newFixture(t)
	f.secrets(t)
	f.object.Spec.Slaves[0].Name = "master" // as the master: only the controllers see it
	f.Create(t, f.object)
	f.await(t, pkiv1.ConditionReady, "False/"+pkiv1.ReasonInvalidSpec)
	f.await(t, pkiv1.ConditionStalled, "True/"+pkiv1.ReasonInvalidSpec)
	f.object.Spec.Slaves[0].Name = "slave-1"
	f.Update(t, f.object)
	f.await(t, pkiv1.ConditionReady, "True/Succeeded")
	if got := controllertest.Reason(f.object, pkiv1.ConditionStalled); got != "absent" {
		t.Errorf("Stalled is %s after the spec was mended", got)
	}
}

// A CA publishes where its directoryRefs say, and a slave that is taken out of
// the spec leaves the status.
func TestCAPublishesWhereItsRefsSay(t *testing.T) {
	f := newFixture(t)
	f.secrets(t)
	f.Create(t, f.object)
	f.ReadyIndustryCA(t)
	ca := f.ReadyBusinessCA(t)
	ca.Spec.DirectoryRefs = []pkiv1.LocalObjectReference{{Name: "directory"}}
	f.Update(t, ca)
	if _, err := controllertest.Reconcile(t, f.Client, f.Business(), ca); err != nil {
		t.Fatal(err)
	}
	f.await(t, pkiv1.ConditionReady, "True/Succeeded")
	cert, err := pki.ParseCertificatePEM(ca.Status.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	key := authority.IssuerKey{Authority: "BusinessCA/" + f.Namespace + "/" + ca.Name, Generation: 1}
	pt.Holds(t, f.slave.Client(t, slapdtest.Reader), "ou="+key.FileName()+","+slapdtest.Base, "cACertificate;binary", cert.Raw)

	f.object.Spec.Slaves = nil
	f.Update(t, f.object)
	f.await(t, pkiv1.ConditionReady, "True/Succeeded")
	if slices.ContainsFunc(f.object.Status.Servers, func(s pkiv1.DirectoryServerStatus) bool { return s.Role == "Slave" }) {
		t.Errorf("servers %+v: the slave is not in the spec", f.object.Status.Servers)
	}
}

// A Secret that was made for something else is not sent to a server.
func TestOnlyBindPasswordsAreSent(t *testing.T) {
	f := newFixture(t)
	for _, name := range []string{"master", "reader", "slave-1"} {
		f.secret(t, name, corev1.SecretTypeOpaque, slapdtest.Writer)
	}
	f.Create(t, f.object)
	for _, condition := range []string{pkiv1.ConditionMasterPublished, pkiv1.ConditionSlavesPushed} {
		f.await(t, condition, "False/"+pkiv1.ReasonReferenceNotFound)
		if got := controllertest.Message(f.object, condition); !strings.Contains(got, `has type "Opaque"`) || !strings.Contains(got, "--type=pki.terrace.dev/bind-password") {
			t.Errorf("%s says %q, want the type and the cure", condition, got)
		}
	}
}

// A Directory that was renamed has the place of the one before once that object
// is gone; while both are there, it is refused.
func TestRenamed(t *testing.T) {
	f := newFixture(t)
	f.secrets(t)
	f.Create(t, f.object)
	f.await(t, pkiv1.ConditionReady, "True/Succeeded")
	before := f.object
	f.object = &pkiv1.Directory{ObjectMeta: f.Meta("renamed"), Spec: *before.Spec.DeepCopy()}
	f.Create(t, f.object)
	f.await(t, pkiv1.ConditionReady, "False/"+pkiv1.ReasonInvalidSpec)
	for _, condition := range []string{pkiv1.ConditionMasterPublished, pkiv1.ConditionSlavesPushed} {
		if got := controllertest.Message(f.object, condition); !strings.Contains(got, before.Name) || !strings.Contains(got, "overlapping") {
			t.Errorf("%s says %q, want the other Directory", condition, got)
		}
	}
	if err := f.Client.Delete(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	f.await(t, pkiv1.ConditionReady, "True/Succeeded")
	if _, ok := f.onMaster.Publishing.Status(f.Namespace + "/" + before.Name); ok {
		t.Error("the Directory whose object is gone is still published")
	}
}
