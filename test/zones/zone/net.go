package zone

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// prefix of everything of ours on the machine; the process's id follows, by
// which leftovers are told from what is in use.
const prefix = "tz"

// gateway is the router's address on every link.
const gateway = "169.254.1.1"

// Net is a network of namespaces that is up. Its methods may be used
// concurrently, Cut and Join excepted.
type Net struct {
	t         testing.TB
	plan      Plan
	addresses map[string]netip.Addr
	dir       string
	id        string
}

// Up brings the plan up until the test ends. It fails the test where this
// cannot be done; it never skips.
func Up(t testing.TB, p Plan) *Net {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("network namespaces and users of their own need root: run this test as root (make test in CI does); it is not skipped, because nothing else proves the zones")
	}
	for _, tool := range []string{"ip", "nft", "setpriv", "sysctl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%v: install the Debian packages iproute2, nftables, util-linux and procps", err)
		}
	}
	if err := p.check(); err != nil {
		t.Fatalf("plan of the network: %v", err)
	}
	if err := sweep(); err != nil {
		t.Fatalf("remove what a killed test left: %v", err)
	}
	dir, err := os.MkdirTemp("", fmt.Sprintf("%s-%d-", prefix, os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	n := &Net{t: t, plan: p, addresses: p.addresses(), dir: dir, id: strings.TrimPrefix(filepath.Base(dir), prefix+"-")}
	t.Cleanup(func() {
		if err := errors.Join(n.remove(), os.RemoveAll(dir)); err != nil {
			t.Errorf("take the network down: %v", err)
		}
	})
	if err := errors.Join(os.Chmod(dir, 0o711), n.raise()); err != nil {
		t.Fatalf("bring the network up: %v", err)
	}
	return n
}

// Address of a host.
func (n *Net) Address(host string) string { return n.addresses[n.host(host).Name].String() }

// Dir is the folder of a host, 0700 and its user's.
func (n *Net) Dir(host string) string { return filepath.Join(n.dir, n.host(host).Name) }

// Shared is a folder that every user may read and root alone may write: for programs.
func (n *Net) Shared() string { return filepath.Join(n.dir, "shared") }

// Put writes a file below a host's folder, for its user alone, and returns its
// path. Folders on the way are made 0700.
func (n *Net) Put(host, name string, data []byte) string {
	n.t.Helper()
	h, path := n.host(host), filepath.Join(n.Dir(host), name)
	for dir := n.Dir(host); ; {
		rest, _ := filepath.Rel(dir, filepath.Dir(path)) // both are absolute
		if rest == "." {
			break
		}
		first, _, _ := strings.Cut(rest, "/")
		dir = filepath.Join(dir, first)
		if err := os.Mkdir(dir, 0o700); err == nil {
			err = os.Chown(dir, h.UID, h.GID)
			if err != nil {
				n.t.Fatal(err)
			}
		} else if !errors.Is(err, os.ErrExist) {
			n.t.Fatal(err)
		}
	}
	if err := errors.Join(os.WriteFile(path, data, 0o600), os.Chown(path, h.UID, h.GID)); err != nil {
		n.t.Fatal(err)
	}
	return path
}

func (n *Net) host(name string) Host {
	for _, h := range n.plan.Hosts {
		if h.Name == name {
			return h
		}
	}
	panic("zone: no host " + name) // a mistake of the test
}

// namespace of a host; the router's host is "".
func (n *Net) namespace(host string) string {
	if host == "" {
		host = "router"
	}
	return prefix + "-" + n.id + "-" + host
}

// raise makes namespaces, links and firewall. The firewall comes before the
// links: there is no moment without it.
func (n *Net) raise() error {
	if err := os.Mkdir(n.Shared(), 0o755); err != nil {
		return err
	}
	for _, h := range append([]Host{{}}, n.plan.Hosts...) {
		if err := ip("netns", "add", n.namespace(h.Name)); err != nil {
			return err
		}
		// Ports below 1024 are for everybody here: no process needs a capability.
		if err := n.in(h.Name, "sysctl", "-q", "-w", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv4.ip_unprivileged_port_start=0"); err != nil {
			return err
		}
		if err := n.in(h.Name, "ip", "link", "set", "lo", "up"); err != nil {
			return err
		}
	}
	if err := n.loadFirewall(); err != nil {
		return err
	}
	if err := n.in("", "sysctl", "-q", "-w", "net.ipv4.ip_forward=1", "net.netfilter.nf_conntrack_tcp_loose=0"); err != nil {
		return err
	}
	for i, h := range n.plan.Hosts {
		if err := errors.Join(os.Mkdir(n.Dir(h.Name), 0o700), os.Chown(n.Dir(h.Name), h.UID, h.GID)); err != nil {
			return err
		}
		if err := n.link(i, h); err != nil {
			return fmt.Errorf("link of %s: %w", h.Name, err)
		}
	}
	return nil
}

// link joins a host to the router, point to point.
func (n *Net) link(i int, h Host) error {
	router, addr := routerLink(i), n.addresses[h.Name].String()
	return errors.Join(
		ip("-n", n.namespace(""), "link", "add", router, "type", "veth", "peer", "name", "eth0", "netns", n.namespace(h.Name)),
		ip("-n", n.namespace(""), "addr", "add", gateway+"/32", "dev", router),
		ip("-n", n.namespace(""), "link", "set", router, "up"),
		ip("-n", n.namespace(""), "route", "add", addr+"/32", "dev", router),
		ip("-n", n.namespace(h.Name), "addr", "add", addr+"/32", "dev", "eth0"),
		ip("-n", n.namespace(h.Name), "link", "set", "eth0", "up"),
		ip("-n", n.namespace(h.Name), "route", "add", gateway, "dev", "eth0", "scope", "link"),
		ip("-n", n.namespace(h.Name), "route", "add", "default", "via", gateway, "dev", "eth0"),
	)
}

func routerLink(i int) string { return "host" + strconv.Itoa(i) }

// Cut unplugs a host from the router.
func (n *Net) Cut(host string) {
	n.t.Helper()
	if err := ip("-n", n.namespace(""), "link", "set", n.routerLinkOf(host), "down"); err != nil {
		n.t.Fatal(err)
	}
}

// Join plugs it in again.
func (n *Net) Join(host string) {
	n.t.Helper()
	link := n.routerLinkOf(host)
	// A link that goes down loses its routes.
	if err := errors.Join(ip("-n", n.namespace(""), "link", "set", link, "up"),
		ip("-n", n.namespace(""), "route", "replace", n.Address(host)+"/32", "dev", link)); err != nil {
		n.t.Fatal(err)
	}
}

func (n *Net) routerLinkOf(host string) string {
	for i, h := range n.plan.Hosts {
		if h.Name == host {
			return routerLink(i)
		}
	}
	panic("zone: no host " + host)
}

// remove ends what still runs in the namespaces and deletes them.
func (n *Net) remove() error {
	var errs []error
	for _, h := range append(n.plan.Hosts, Host{}) {
		errs = append(errs, removeNamespace(n.namespace(h.Name)))
	}
	return errors.Join(errs...)
}

func removeNamespace(name string) error {
	if _, err := os.Stat(filepath.Join("/run/netns", name)); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	out, err := exec.Command("ip", "netns", "pids", name).Output()
	if err != nil {
		return fmt.Errorf("ip netns pids %s: %w", name, err)
	}
	for _, field := range strings.Fields(string(out)) {
		if pid, err := strconv.Atoi(field); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended by now
		}
	}
	return ip("netns", "del", name)
}

// sweep removes the namespaces and folders of test processes that are gone.
func sweep() error {
	names, _ := filepath.Glob("/run/netns/" + prefix + "-*") // the pattern is good
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), prefix+"-*"))
	var errs []error
	for _, path := range names {
		if abandoned(path) {
			errs = append(errs, removeNamespace(filepath.Base(path)))
		}
	}
	for _, path := range dirs {
		if abandoned(path) {
			errs = append(errs, os.RemoveAll(path))
		}
	}
	return errors.Join(errs...)
}

func abandoned(path string) bool {
	_, rest, _ := strings.Cut(filepath.Base(path), "-")
	first, _, _ := strings.Cut(rest, "-")
	pid, err := strconv.Atoi(first)
	return err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}

// in runs a program as root in a host's namespace.
func (n *Net) in(host, name string, args ...string) error {
	return ip(append([]string{"netns", "exec", n.namespace(host), name}, args...)...)
}

func ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
