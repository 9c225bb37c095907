package app

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/certificaterevocation"
	"github.com/terrace-pki/terrace/controllers/policy"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/recovery"
)

// apiPage is how many objects one answer of the API server has.
const apiPage = 500

// APISource is what the objects of a Kubernetes API show in their status.
type APISource struct{ Client client.Client }

// Name implements [recovery.Source].
func (APISource) Name() string { return "API server" }

// Read implements [recovery.Source]: CAs from the top, what they issued, acts.
func (s APISource) Read(ctx context.Context, yield func(recovery.Evidence) error) error {
	for _, read := range []func(context.Context, func(recovery.Evidence) error) error{s.authorities, s.requests, s.acts} {
		if err := read(ctx, yield); err != nil {
			return err
		}
	}
	return nil
}

// list calls do for pages of objects.
func list[L client.ObjectList](ctx context.Context, c client.Client, page L, do func(L) error) error {
	for next := ""; ; {
		if err := c.List(ctx, page, client.Limit(apiPage), client.Continue(next)); err != nil {
			return fmt.Errorf("list %T: %w", page, err)
		}
		if err := do(page); err != nil {
			return err
		}
		if next = page.GetContinue(); next == "" {
			return nil
		}
	}
}

func digestOf(text string) (digest [32]byte, ok bool) {
	b, err := hex.DecodeString(text)
	ok = err == nil && len(b) == len(digest)
	copy(digest[:], b)
	return digest, ok
}

// authorities come with those first that have the fewest above them.
func (s APISource) authorities(ctx context.Context, yield func(recovery.Evidence) error) error {
	type shown struct {
		depth int
		of    [2]recovery.Evidence
	}
	var found []shown
	add := func(kind string, o client.Object, st pkiv1.CAStatus) {
		cert, err := pki.ParseCertificatePEM(st.Certificate)
		if err != nil {
			return // it has none yet
		}
		chain, err := pki.ParseCertificatesPEM(st.Chain, pki.MaxChain)
		if err != nil {
			chain = nil // a root
		}
		key := authority.IssuerKey{Authority: kind + "/" + o.GetNamespace() + "/" + o.GetName(), Generation: max(st.KeyGeneration, 1)}
		one := shown{depth: len(chain), of: [2]recovery.Evidence{{Authority: &recovery.Authority{Key: key, Certificate: cert.Raw}}, {Certificate: cert.Raw}}}
		if digest, ok := digestOf(st.RequestDigest); ok && kind == policy.KindBusinessCA {
			one.of[1].Identity = authority.Identity{Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName(), Digest: digest}
		}
		found = append(found, one)
	}
	err := list(ctx, s.Client, &pkiv1.IndustryCAList{}, func(page *pkiv1.IndustryCAList) error {
		for i := range page.Items {
			add("IndustryCA", &page.Items[i], page.Items[i].Status.CAStatus)
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = list(ctx, s.Client, &pkiv1.BusinessCAList{}, func(page *pkiv1.BusinessCAList) error {
		for i := range page.Items {
			add(policy.KindBusinessCA, &page.Items[i], page.Items[i].Status)
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortStableFunc(found, func(a, b shown) int { return cmp.Compare(a.depth, b.depth) })
	for _, one := range found {
		for _, e := range one.of {
			if err := yield(e); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s APISource) requests(ctx context.Context, yield func(recovery.Evidence) error) error {
	return list(ctx, s.Client, &pkiv1.CertificateRequestList{}, func(page *pkiv1.CertificateRequestList) error {
		for i := range page.Items {
			r := &page.Items[i]
			cert, err := pki.ParseCertificatePEM(r.Status.Certificate)
			if err != nil {
				continue // it has none yet
			}
			e := recovery.Evidence{Certificate: cert.Raw}
			if digest, ok := digestOf(r.Status.RequestDigest); ok {
				e.Identity = authority.Identity{Kind: policy.KindCertificateRequest, Namespace: r.Namespace, Name: r.Name, Digest: digest}
			}
			if err := yield(e); err != nil {
				return err
			}
		}
		return nil
	})
}

// acts come in the order in which they were performed.
func (s APISource) acts(ctx context.Context, yield func(recovery.Evidence) error) error {
	var all []authority.Performed
	err := list(ctx, s.Client, &pkiv1.CertificateRevocationList{}, func(page *pkiv1.CertificateRevocationList) error {
		for i := range page.Items {
			if done, ok := performed(&page.Items[i]); ok {
				all = append(all, done)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortStableFunc(all, func(a, b authority.Performed) int {
		return cmp.Or(a.RecordedAt.Compare(b.RecordedAt), strings.Compare(string(a.Verb), string(b.Verb))) // Hold before Release
	})
	for i := range all {
		if err := yield(recovery.Evidence{Act: &all[i]}); err != nil {
			return err
		}
	}
	return nil
}

// performed reads what a revocation object shows; false when it shows no result.
func performed(r *pkiv1.CertificateRevocation) (authority.Performed, bool) {
	st := &r.Status
	digest, ok := digestOf(st.RequestDigest)
	serial, err := pki.ParseSerial(st.SerialNumber)
	condition := apimeta.FindStatusCondition(st.Conditions, pkiv1.ConditionPerformed)
	if !ok || err != nil || st.PerformedAt == nil || condition == nil {
		return authority.Performed{}, false
	}
	done := authority.Performed{RecordedAt: st.PerformedAt.UTC(), Act: authority.Act{
		Identity: authority.Identity{Kind: policy.KindCertificateRevocation, Namespace: r.Namespace, Name: r.Name, Digest: digest},
		Issuer:   authority.IssuerKey{Authority: st.Issuer}, Serial: serial, Verb: authority.Verb(r.Spec.Action),
		Reason: certificaterevocation.ReasonOf(r.Spec.Reason), At: st.PerformedAt.UTC()}}
	if condition.Status == metav1.ConditionTrue {
		return done, true
	}
	if condition.Reason != pkiv1.ReasonRefused {
		return done, false
	}
	refusal, _, _ := strings.Cut(condition.Message, ":")
	done.Refusal = authority.Refusal(refusal)
	switch done.Refusal {
	case authority.RefusedNotIssued, authority.RefusedRevoked, authority.RefusedHeld, authority.RefusedNotHeld:
		return done, true
	}
	return done, false
}
