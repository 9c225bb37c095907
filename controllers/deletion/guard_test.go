package deletion_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/controllertest"
	"github.com/terrace-pki/terrace/controllers/deletion"
	"github.com/terrace-pki/terrace/controllers/step"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
)

func TestMain(m *testing.M) {
	controllertest.Main(m, func(ctx context.Context, path string) (authority.Store, error) {
		return sqlite.Open(ctx, sqlite.Config{Path: path, TakeOver: true})
	})
}

var (
	needed     deletion.InUse = func(context.Context) (string, error) { return "somebody needs it", nil }
	notNeeded  deletion.InUse = func(context.Context) (string, error) { return "", nil }
	unknown    deletion.InUse = func(context.Context) (string, error) { return "", errors.New("ledger is away") }
	notAsked   deletion.InUse = func(context.Context) (string, error) { panic("asked without need") }
	foreign                   = "example.test/finalizer"
	withPolicy                = []byte(`{"spec":{"deletionPolicy":"Orphan"}}`)
)

// guardedDevice is a reconciler that does nothing but guard.
type guardedDevice struct {
	client client.Client
	inUse  deletion.InUse
}

func (r *guardedDevice) Reconcile(ctx context.Context, d *pkiv1.CryptoDevice) (ctrl.Result, error) {
	v, err := deletion.Guard(ctx, r.client, d, d.Spec.DeletionPolicy, r.inUse)
	if err != nil || v.Gone {
		return ctrl.Result{}, err
	}
	return step.Run(ctx, r.client, d, time.Hour, v.Held...)
}

func TestGuard(t *testing.T) {
	for name, tc := range map[string]struct {
		policy      pkiv1.DeletionPolicy
		atFirst     []string // finalizers
		deleted     bool
		inUse       deletion.InUse
		want        []string // finalizers; nil: the object is gone, or has none
		wantMessage string
		wantError   bool
	}{
		"Protect":                      {policy: pkiv1.DeletionProtect, inUse: notAsked, want: []string{deletion.Finalizer}},
		"Protect, beside another":      {policy: pkiv1.DeletionProtect, atFirst: []string{foreign}, inUse: notAsked, want: []string{foreign, deletion.Finalizer}},
		"Orphan":                       {policy: pkiv1.DeletionOrphan, atFirst: []string{deletion.Finalizer}, inUse: notAsked},
		"never held":                   {policy: pkiv1.DeletionProtect},
		"deleted, needed":              {policy: pkiv1.DeletionProtect, atFirst: []string{deletion.Finalizer}, deleted: true, inUse: needed, want: []string{deletion.Finalizer}, wantMessage: "somebody needs it; set spec.deletionPolicy: Orphan"},
		"deleted, not needed":          {policy: pkiv1.DeletionProtect, atFirst: []string{deletion.Finalizer}, deleted: true, inUse: notNeeded},
		"deleted, ledger away":         {policy: pkiv1.DeletionProtect, atFirst: []string{deletion.Finalizer}, deleted: true, inUse: unknown, want: []string{deletion.Finalizer}, wantMessage: "ledger is away", wantError: true},
		"deleted, Orphan":              {policy: pkiv1.DeletionOrphan, atFirst: []string{deletion.Finalizer}, deleted: true, inUse: notAsked},
		"deleted, held by another":     {policy: pkiv1.DeletionProtect, atFirst: []string{foreign}, deleted: true, inUse: notAsked, want: []string{foreign}},
		"deleted, another stays":       {policy: pkiv1.DeletionProtect, atFirst: []string{foreign, deletion.Finalizer}, deleted: true, inUse: notNeeded, want: []string{foreign}},
		"deleted, never held any more": {policy: pkiv1.DeletionProtect, atFirst: []string{deletion.Finalizer}, deleted: true},
	} {
		t.Run(name, func(t *testing.T) {
			tier := controllertest.New(t)
			d := &pkiv1.CryptoDevice{ObjectMeta: tier.Meta("token"), Spec: pkiv1.CryptoDeviceSpec{DeletionPolicy: tc.policy,
				Software: &pkiv1.SoftwareDevice{PasswordSecretRef: pkiv1.SecretKeyReference{Name: "pin", Key: "pin"}}}}
			d.Finalizers = tc.atFirst
			tier.Create(t, d)
			key := client.ObjectKeyFromObject(d)
			if tc.deleted {
				if err := tier.Client.Delete(t.Context(), d); err != nil {
					t.Fatal(err)
				}
			}
			for pass := range 2 { // the second must find nothing to do
				if err := tier.Client.Get(t.Context(), key, d); err != nil {
					if apierrors.IsNotFound(err) && tc.deleted && tc.want == nil {
						return
					}
					t.Fatal(err)
				}
				before := d.ResourceVersion
				if _, err := (&guardedDevice{tier.Client, tc.inUse}).Reconcile(t.Context(), d); (err != nil) != tc.wantError {
					t.Fatalf("got error %v, want one: %t", err, tc.wantError)
				}
				err := tier.Client.Get(t.Context(), key, d)
				if tc.deleted && tc.want == nil {
					if !apierrors.IsNotFound(err) {
						t.Fatalf("the object is still there: %v, finalizers %q", err, d.Finalizers)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(d.Finalizers, tc.want) {
					t.Errorf("finalizers: got %q, want %q", d.Finalizers, tc.want)
				}
				if got := controllertest.Message(d, pkiv1.ConditionDeletable); !strings.Contains(got, tc.wantMessage) || (got == "") != (tc.wantMessage == "") {
					t.Errorf("Deletable says %q, want %q", got, tc.wantMessage)
				}
				if pass == 1 && d.ResourceVersion != before {
					t.Error("the second pass wrote")
				}
			}
		})
	}
}
