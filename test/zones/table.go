// Package zones proves that a tier works as separate processes, each under its
// own user on its own host, with only the links of docs/zones.md open.
package zones

import (
	"fmt"
	"os/user"
	"strconv"

	"github.com/terrace-pki/terrace/test/zones/zone"
)

// firewall is the table of docs/zones.md: what is not in it is dropped.
var firewall = []zone.Rule{
	{From: "ra", To: "ca", Port: 9444, Why: "applications, revocations, signed"},
	{From: "ca", To: "api", Port: 6443, Why: "reads what is declared, writes status"},
	{From: "ca", To: "postgres", Port: 5432, Why: "the ledger"},
	{From: "ca", To: "master", Port: 636, Why: "publishes certificates and lists"},
	{From: "ca", To: "validation-business", Port: 9445, Why: "signed pushes"},
	{From: "ca", To: "validation-public", Port: 9445, Why: "signed pushes"},
	{From: "api", To: "manager", Port: 9443, Why: "admission webhooks"},
	{From: "manager", To: "api", Port: 6443, Why: "health of tiers, transport Secrets"},
	{From: "ra", To: "api", Port: 6443, Why: "requests, approvals, status"},
	{From: "pusher", To: "api", Port: 6443, Why: "reads Directory, writes status"},
	{From: "pusher", To: "master", Port: 636, Why: "reads what the master holds"},
	{From: "pusher", To: "slave-1", Port: 636, Why: "pushes (下推)"},
	{From: "pusher", To: "slave-2", Port: 636, Why: "pushes (下推)"},
	{From: "people", To: "api", Port: 6443, Why: "kubectl, Git controllers"},
	{From: "outside", To: "validation-business", Port: 8080, Why: "OCSP, CRL, CA certificates, audit checkpoint"},
	{From: "outside", To: "validation-public", Port: 8080, Why: "OCSP, CRL, CA certificates, audit checkpoint"},
	{From: "outside", To: "slave-1", Port: 636, Why: "LDAP search"},
	{From: "outside", To: "slave-2", Port: 636, Why: "LDAP search"},
}

// starters are the hosts that may start connections at all. Whoever is not
// among them starts nothing, whatever happens.
func starters() map[string]bool {
	all := map[string]bool{}
	for _, r := range firewall {
		all[r.From] = true
	}
	return all
}

// hosts of the tier. The users of our processes are those of docs/zones.md and
// config; PostgreSQL needs a user that has a name.
func hosts() ([]zone.Host, error) {
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("%w: Debian's package postgresql makes this user", err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return nil, err
	}
	own := func(name, zoneName string, id int) zone.Host {
		return zone.Host{Name: name, Zone: zoneName, UID: id, GID: id}
	}
	return []zone.Host{
		own("ca", "core", 65002), {Name: "postgres", Zone: "core", UID: uid, GID: gid},
		own("api", "manage", 65010), own("manager", "manage", 65001), own("people", "manage", 65011),
		own("ra", "service", 65003), own("validation-business", "service", 65004), own("master", "service", 65012), own("pusher", "service", 65005),
		own("slave-1", "public", 65013), own("slave-2", "public", 65014), own("validation-public", "public", 65004),
		own("outside", "outside", 65020),
	}, nil
}
