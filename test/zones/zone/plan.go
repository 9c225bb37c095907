// Package zone lays a tier out on one machine as it would stand in a computer
// room: a network namespace and a user for each host, a router between them,
// and a firewall that drops all but the links of a table.
//
// It needs root, iproute2, nftables and util-linux. Where they are absent the
// test fails: what it proves cannot be proved otherwise. What a killed test
// leaves behind is removed by the next one.
package zone

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
)

// Host is a machine with one process's user on it.
type Host struct {
	// Name of the host: at most 20 of a-z, 0-9 and "-".
	Name string
	// Zone that it stands in. A zone is a /24 network.
	Zone string
	// UID and GID of its process: never 0.
	UID, GID int
}

// Rule opens one link: From may start TCP connections to Port of To.
type Rule struct {
	From, To string // names of hosts
	Port     uint16
	Why      string
}

// Plan of a network.
type Plan struct {
	Hosts []Host
	Rules []Rule
}

var hostName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,19}$`)

// check says what is wrong with a plan.
func (p Plan) check() error {
	seen := map[string]bool{}
	for _, h := range p.Hosts {
		switch {
		case !hostName.MatchString(h.Name):
			return fmt.Errorf("host %q: want at most 20 of a-z, 0-9 and -", h.Name)
		case seen[h.Name]:
			return fmt.Errorf("host %s is named twice", h.Name)
		case h.UID <= 0 || h.GID <= 0:
			return fmt.Errorf("host %s: its process needs a user and a group that are not root's", h.Name)
		}
		seen[h.Name] = true
	}
	for _, r := range p.Rules {
		if !seen[r.From] || !seen[r.To] || r.Port == 0 {
			return fmt.Errorf("rule %s -> %s:%d: both ends must be hosts, and the port must not be 0", r.From, r.To, r.Port)
		}
	}
	if len(p.addresses()) != len(p.Hosts) {
		return errors.New("more than 200 hosts in a zone, or more than 200 zones")
	}
	return nil
}

// addresses gives each host 10.77.<zone>.<number>. Namespaces do not see each
// other, so the same addresses serve every test at once.
func (p Plan) addresses() map[string]netip.Addr {
	const most = 200
	var zones []string
	count := map[string]int{}
	all := map[string]netip.Addr{}
	for _, h := range p.Hosts {
		if !slices.Contains(zones, h.Zone) {
			zones = append(zones, h.Zone)
		}
		count[h.Zone]++
		if len(zones) > most || count[h.Zone] > most {
			return nil
		}
		all[h.Name] = netip.AddrFrom4([4]byte{10, 77, byte(slices.Index(zones, h.Zone) + 1), byte(count[h.Zone])})
	}
	return all
}
