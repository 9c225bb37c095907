package zone

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
)

// table is the firewall of the router.
const table = "zones"

// Tries of one host, in packets: a connection that is not answered is tried
// more than once.
type Tries struct {
	// Started counts the packets that would start a flow of any protocol to
	// anywhere, allowed or not.
	Started int
	// Refused counts those of them that no rule allows.
	Refused int
}

// loadFirewall drops all but the rules, and counts for each host what it started.
//
// Starts are counted before routing, so that a try to reach an address that does
// not exist counts as well. Conntrack is strict (nf_conntrack_tcp_loose=0): the
// late packet of a flow that is forgotten starts nothing.
func (n *Net) loadFirewall() error {
	var b strings.Builder
	fmt.Fprintf(&b, "table inet %s {\n", table)
	for _, h := range n.plan.Hosts {
		fmt.Fprintf(&b, "\tcounter started_%[1]s {}\n\tcounter refused_%[1]s {}\n", counter(h.Name))
	}
	b.WriteString("\tchain started {\n\t\ttype filter hook prerouting priority -150; policy accept;\n")
	for _, h := range n.plan.Hosts {
		fmt.Fprintf(&b, "\t\tct state new ip saddr %s counter name started_%s\n", n.addresses[h.Name], counter(h.Name))
	}
	b.WriteString("\t}\n\tchain input {\n\t\ttype filter hook input priority 0; policy drop;\n\t}\n")
	b.WriteString("\tchain links {\n\t\ttype filter hook forward priority 0; policy drop;\n\t\tct state established,related accept\n")
	for _, r := range n.plan.Rules {
		fmt.Fprintf(&b, "\t\tct state new ip saddr %s ip daddr %s tcp dport %d accept\n", n.addresses[r.From], n.addresses[r.To], r.Port)
	}
	for _, h := range n.plan.Hosts {
		fmt.Fprintf(&b, "\t\tct state new ip saddr %s counter name refused_%s\n", n.addresses[h.Name], counter(h.Name))
	}
	b.WriteString("\t}\n}\n")
	cmd := exec.Command("ip", "netns", "exec", n.namespace(""), "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(b.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("load firewall: %w: %s", err, out)
	}
	return nil
}

func counter(host string) string { return strings.ReplaceAll(host, "-", "_") }

// Tries returns what each host started since the network is up.
func (n *Net) Tries() map[string]Tries {
	n.t.Helper()
	out, err := exec.Command("ip", "netns", "exec", n.namespace(""), "nft", "-j", "list", "counters", "table", "inet", table).Output()
	if err != nil {
		n.t.Fatalf("read the firewall's counters: %v", err)
	}
	var list struct {
		NFTables []struct {
			Counter *struct {
				Name    string `json:"name"`
				Packets int    `json:"packets"`
			} `json:"counter"`
		} `json:"nftables"`
	}
	if err := json.Unmarshal(out, &list); err != nil {
		n.t.Fatalf("read the firewall's counters: %v", err)
	}
	packets := map[string]int{}
	for _, item := range list.NFTables {
		if item.Counter != nil {
			packets[item.Counter.Name] = item.Counter.Packets
		}
	}
	all := map[string]Tries{}
	for _, h := range n.plan.Hosts {
		started, ok := packets["started_"+counter(h.Name)]
		if !ok {
			n.t.Fatalf("the firewall has no counter of %s", h.Name)
		}
		all[h.Name] = Tries{Started: started, Refused: packets["refused_"+counter(h.Name)]}
	}
	return all
}
