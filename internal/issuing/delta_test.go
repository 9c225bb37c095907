package issuing_test

import (
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm3"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/issuing"
	"github.com/terrace-pki/terrace/internal/registration"
)

// Where there are deltas, what a list and its delta say together is published.
func TestPublishWithDeltas(t *testing.T) {
	authorities := newAuthorities(t)
	ca, err := authorities.Newest(business)
	if err != nil {
		t.Fatal(err)
	}
	settings := ca.Settings
	settings.DeltaInterval = time.Minute
	if err := authorities.Accept(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
	desk := issuing.NewDesk(authorities)
	issued, err := desk.Issue(t.Context(), business, []registration.Order{order(t, "zhang", "Zhang San")})
	if err != nil || issued[0].Err != nil {
		t.Fatal(err, issued)
	}
	var number int64
	for i, verb := range []authority.Verb{authority.VerbHold, authority.VerbRelease, authority.VerbHold, authority.VerbRevoke} {
		name := string(verb) + string(rune('a'+i))
		done, err := desk.Perform(t.Context(), registration.Act{RegistrationAuthority: ra, Authority: business, Request: "zhang", Verb: verb,
			Identity: authority.Identity{Kind: "CertificateRevocation", Namespace: "people", Name: name, Digest: sm3.Sum([]byte(name))}})
		if err != nil || done.Refusal != "" {
			t.Fatalf("%s: %+v, %v", verb, done, err)
		}
		for again := range 2 {
			got, err := desk.Publish(t.Context(), done.Issuer, done.Serial)
			if err != nil || (again == 0) != (got > number) {
				t.Fatalf("%s, published for the %d. time: %d after %d, %v", verb, again+1, got, number, err)
			}
			number = got
		}
		list, err := authorities.CurrentCRL(t.Context(), done.Issuer, 0)
		if err != nil || (list.Number == number) != (i == 0) {
			t.Errorf("%s: the full list has number %d, %d was published: %v; want a full list at first and deltas then", verb, list.Number, number, err)
		}
	}
}
