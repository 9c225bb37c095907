package tier

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/step"
)

// ministry has every part that the standard asks of one, all Ready.
func ministry() []member {
	return []member{{kind: cryptoDevice.kind, networks: cryptoDevice.networks(), name: "hsm", ready: true}, {kind: industryCA.kind, networks: industryCA.networks(), name: "industry", ready: true}, {kind: businessCA.kind, networks: businessCA.networks(), name: "business", ready: true},
		{kind: registrationAuthority.kind, networks: registrationAuthority.networks(), name: "ra", ready: true}, {kind: businessValidation.kind, networks: businessValidation.networks(), name: "validation", ready: true},
		{kind: publicValidation.kind, networks: publicValidation.networks(), name: "public", ready: true}, {kind: directory.kind, networks: directory.networks(), name: "ldap", ready: true}}
}

// networks of a member that is the part.
func (p part) networks() []pkiv1.Network {
	if p.network == "" {
		return nil
	}
	return []pkiv1.Network{p.network}
}

// with replaces or adds a member by kind and name.
func with(members []member, changed ...member) []member {
	out := append([]member{}, members...)
	for _, c := range changed {
		found := false
		for i := range out {
			if out[i].kind == c.kind && out[i].name == c.name {
				out[i], found = c, true
			}
		}
		if !found {
			out = append(out, c)
		}
	}
	return out
}

func without(members []member, parts ...part) []member {
	var out []member
	for _, m := range members {
		keep := true
		for _, p := range parts {
			keep = keep && (m.kind != p.kind || !slices.Equal(m.networks, p.networks()))
		}
		if keep {
			out = append(out, m)
		}
	}
	return out
}

func newTier(level pkiv1.TierLevel, mode pkiv1.TierMode) *pkiv1.Tier {
	t := &pkiv1.Tier{ObjectMeta: metav1.ObjectMeta{Namespace: "here", Name: "tier"}, Spec: pkiv1.TierSpec{Level: level, Mode: mode}}
	if level != pkiv1.LevelMinistry {
		t.Spec.Upstream = &pkiv1.TierUpstream{TierRef: &pkiv1.NamespacedReference{Name: "up", Namespace: "there"}}
	}
	return t
}

func reason(n *step.NotReady) string {
	if n == nil {
		return "True"
	}
	return n.Reason
}

func TestDecide(t *testing.T) {
	awaiting := member{kind: businessCA.kind, networks: businessCA.networks(), name: "business", reason: pkiv1.ReasonAwaitingApproval, message: "1 of 2 approvals"}
	isMinistry := &pkiv1.TierSpec{Level: pkiv1.LevelMinistry}
	type want struct{ composed, ready, health, members string }
	for name, tc := range map[string]struct {
		tier     *pkiv1.Tier
		members  []member
		upstream *pkiv1.TierSpec
		want     want
	}{
		"ministry, whole and well": {newTier(pkiv1.LevelMinistry, ""), ministry(), nil,
			want{"True", "True", "all 7 members are Ready", "7/7"}},
		"one service in both networks": {newTier(pkiv1.LevelMinistry, ""), with(without(ministry(), businessValidation, publicValidation),
			member{kind: "ValidationService", networks: []pkiv1.Network{pkiv1.NetworkBusiness, pkiv1.NetworkPublic}, name: "validation", ready: true}), nil,
			want{"True", "True", "all 6 members are Ready", "6/6"}},
		"ministry, empty": {newTier(pkiv1.LevelMinistry, ""), nil, nil,
			want{"MemberMissing", "True", "missing for LD/T 02.1: CryptoDevice (7.3.2), IndustryCA (7.3.2), BusinessCA (7.3.1), RegistrationAuthority (7.3.1), " +
				"ValidationService of network Business (7.3.1), ValidationService of network Public (7.3.1), Directory (7.3.2)", "0/0"}},
		"one waits": {newTier(pkiv1.LevelMinistry, ""), with(ministry(), awaiting), nil,
			want{"True", "MemberNotReady", "BusinessCA/business: AwaitingApproval: 1 of 2 approvals", "6/7"}},
		"the cause comes first": {newTier(pkiv1.LevelMinistry, ""), with(ministry(), awaiting,
			member{kind: registrationAuthority.kind, networks: registrationAuthority.networks(), name: "ra", reason: "ReferenceNotReady"}, member{kind: cryptoDevice.kind, networks: cryptoDevice.networks(), name: "hsm", reason: "PINRefused", message: "wrong\nPIN"}), nil,
			want{"True", "MemberNotReady", "CryptoDevice/hsm: PINRefused: wrong PIN, and 2 more", "4/7"}},
		"of one kind, what waits for another comes last": {newTier(pkiv1.LevelMinistry, ""), with(ministry(), awaiting,
			member{kind: businessCA.kind, networks: businessCA.networks(), name: "area", reason: "ReferenceNotReady", message: `BusinessCA "business" is not Ready`}), nil,
			want{"True", "MemberNotReady", "BusinessCA/business: AwaitingApproval: 1 of 2 approvals, and 1 more", "6/8"}},
		"missing and not Ready": {newTier(pkiv1.LevelMinistry, ""), with(without(ministry(), publicValidation), awaiting), nil,
			want{"MemberMissing", "MemberNotReady", "missing for LD/T 02.1: ValidationService of network Public (7.3.1); BusinessCA/business: AwaitingApproval: 1 of 2 approvals", "5/6"}},
		"province that registers": {newTier(pkiv1.LevelProvince, pkiv1.ModeRegistration), without(ministry(), industryCA, businessCA, directory, cryptoDevice), isMinistry,
			want{"True", "True", "all 3 members are Ready", "3/3"}},
		"province that registers, with CAs": {newTier(pkiv1.LevelProvince, pkiv1.ModeRegistration), ministry(), isMinistry,
			want{"MemberNotAllowed", "True", "IndustryCA/industry does not belong to a Province in mode Registration: the tier above issues all certificates (LD/T 02.1 7.4.1 a); " +
				"BusinessCA/business does not belong to a Province in mode Registration: the tier above issues all certificates (LD/T 02.1 7.4.1 a)", "7/7"}},
		"province that registers, empty": {newTier(pkiv1.LevelProvince, pkiv1.ModeRegistration), nil, isMinistry,
			want{"MemberMissing", "True", "missing for LD/T 02.1: RegistrationAuthority (7.4.1 a), ValidationService (7.4.1 a)", "0/0"}},
		"province with its own CA": {newTier(pkiv1.LevelProvince, pkiv1.ModeAuthority), without(ministry(), industryCA), isMinistry,
			want{"True", "True", "all 6 members are Ready", "6/6"}},
		"province without a directory": {newTier(pkiv1.LevelProvince, pkiv1.ModeAuthority), without(ministry(), industryCA, directory), isMinistry,
			want{"True", "True", "all 5 members are Ready", "5/5"}},
		"province with an industry CA": {newTier(pkiv1.LevelProvince, pkiv1.ModeAuthority), ministry(), isMinistry,
			want{"MemberNotAllowed", "True", "IndustryCA/industry does not belong to a Province in mode Authority: the sector has one industry CA, the ministry's (LD/T 02.1 7.2 a)", "7/7"}},
		"city that registers": {newTier(pkiv1.LevelCity, pkiv1.ModeRegistration), nil, &pkiv1.TierSpec{Level: pkiv1.LevelProvince, Mode: pkiv1.ModeRegistration},
			want{"True", "True", "well; it has no members of its own", "0/0"}},
		"city with an RA": {newTier(pkiv1.LevelCity, pkiv1.ModeAuthority), []member{{kind: registrationAuthority.kind, networks: registrationAuthority.networks(), name: "ra", ready: true}},
			&pkiv1.TierSpec{Level: pkiv1.LevelProvince, Mode: pkiv1.ModeAuthority}, want{"True", "True", "its one member is Ready", "1/1"}},
		"city without one": {newTier(pkiv1.LevelCity, pkiv1.ModeAuthority), nil, &pkiv1.TierSpec{Level: pkiv1.LevelProvince, Mode: pkiv1.ModeAuthority},
			want{"MemberMissing", "True", "missing for LD/T 02.1: RegistrationAuthority (7.5.1 b)", "0/0"}},
		"city with a CA": {newTier(pkiv1.LevelCity, pkiv1.ModeAuthority), without(ministry(), industryCA), &pkiv1.TierSpec{Level: pkiv1.LevelProvince, Mode: pkiv1.ModeAuthority},
			want{"MemberNotAllowed", "True", "BusinessCA/business does not belong to a City in mode Authority: a city registers, the tier above issues (LD/T 02.1 7.5.1 b)", "6/6"}},
		"upstream is not there": {newTier(pkiv1.LevelCity, pkiv1.ModeRegistration), nil, nil,
			want{"ReferenceNotFound", "True", `spec.upstream: Tier "up" of namespace "there" is not there`, "0/0"}},
		"upstream of another mode": {newTier(pkiv1.LevelCity, pkiv1.ModeRegistration), nil, &pkiv1.TierSpec{Level: pkiv1.LevelProvince, Mode: pkiv1.ModeAuthority},
			want{"InvalidSpec", "True", `spec.upstream: Tier "up" is a Province in mode Authority; above a City in mode Registration stands a Province in mode Registration (LD/T 02.1 7.5.1 a)`, "0/0"}},
		"upstream of the wrong level": {newTier(pkiv1.LevelProvince, pkiv1.ModeRegistration), without(ministry(), industryCA, businessCA), &pkiv1.TierSpec{Level: pkiv1.LevelCity, Mode: pkiv1.ModeAuthority},
			want{"InvalidSpec", "True", `spec.upstream: Tier "up" is a City in mode Authority; above a Province in mode Registration stands a Ministry (LD/T 02.1 7.4.1 a)`, "5/5"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := decide(tc.tier, observation{members: tc.members, upstream: tc.upstream})
			got := want{reason(d.composed), reason(d.membersReady), d.health, d.members}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(want{})); diff != "" {
				t.Errorf("decision (-want +got):\n%s", diff)
			}
		})
	}
}

func TestExternalUpstreamIsTrusted(t *testing.T) {
	tier := newTier(pkiv1.LevelCity, pkiv1.ModeRegistration)
	tier.Spec.Upstream = &pkiv1.TierUpstream{External: "province of another API"}
	if d := decide(tier, observation{}); d.composed != nil {
		t.Errorf("Composed is False: %s", d.composed.Message)
	}
}

func TestKindsAreCounted(t *testing.T) {
	d := decide(newTier(pkiv1.LevelMinistry, ""), observation{members: with(ministry(), member{kind: publicValidation.kind, networks: publicValidation.networks(), name: "public"}, member{kind: cryptoDevice.kind, networks: cryptoDevice.networks(), name: "another", ready: true})})
	want := []pkiv1.TierMembers{{Kind: "CryptoDevice", Ready: 2, All: 2}, {Kind: "IndustryCA", Ready: 1, All: 1}, {Kind: "BusinessCA", Ready: 1, All: 1},
		{Kind: "ValidationService", Ready: 1, All: 2}, {Kind: "RegistrationAuthority", Ready: 1, All: 1}, {Kind: "Directory", Ready: 1, All: 1}}
	if diff := cmp.Diff(want, d.kinds); diff != "" {
		t.Errorf("kinds (-want +got):\n%s", diff)
	}
}

// A member's words are bounded, so that the status takes them and what follows is seen.
func TestLongWordsAreCut(t *testing.T) {
	long := member{kind: businessCA.kind, networks: businessCA.networks(), name: "business", reason: "X", message: strings.Repeat("\u8bc1", 1000)}
	d := decide(newTier(pkiv1.LevelMinistry, ""), observation{members: with(ministry(), long, member{kind: directory.kind, networks: directory.networks(), name: "ldap"})})
	if len(d.health) > maxHealth || !strings.HasSuffix(d.health, "..., and 1 more") || strings.ContainsRune(d.health, '\ufffd') {
		t.Errorf("health has %d bytes: %q", len(d.health), d.health)
	}
}

// Every kind that may join is in the order, and every system has requirements
// or none on purpose.
func TestTablesAreWhole(t *testing.T) {
	var kinds []string
	for _, k := range memberKinds {
		kinds = append(kinds, k.kind)
	}
	if diff := cmp.Diff(order, kinds); diff != "" {
		t.Errorf("memberKinds differ from order (-order +kinds):\n%s", diff)
	}
	for sys := range above {
		if _, ok := requirements[sys]; !ok {
			t.Errorf("%s has no requirements", sys)
		}
	}
	for sys, rs := range requirements {
		for _, r := range rs {
			if r.clause == "" || r.demand == forbidden && r.why == "" {
				t.Errorf("%s: %s: no clause, or no reason", sys, r.part)
			}
		}
	}
}
