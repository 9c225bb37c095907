package zone

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// childEnv makes the test binary a process on a host: "listen <address>" or "dial <address>".
const childEnv = "TERRACE_ZONE_CHILD"

func TestMain(m *testing.M) {
	if what := os.Getenv(childEnv); what != "" {
		if err := child(what); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func child(what string) error {
	verb, address, _ := strings.Cut(what, " ")
	switch verb {
	case "listen":
		l, err := net.Listen("tcp", address)
		if err != nil {
			return err
		}
		fmt.Println("listening")
		for {
			c, err := l.Accept()
			if err != nil {
				return err
			}
			fmt.Fprintln(c, "hello")
			c.Close()
		}
	case "dial":
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			return err
		}
		_, err = io.Copy(os.Stdout, c)
		return err
	}
	return errors.New("unknown: " + what)
}

// testPlan has two hosts that may talk in one direction, and one that may not talk.
var testPlan = Plan{
	Hosts: []Host{{Name: "one", Zone: "a", UID: 61001, GID: 61001}, {Name: "two", Zone: "b", UID: 61002, GID: 61002}, {Name: "mute-3", Zone: "b", UID: 61003, GID: 61003}},
	Rules: []Rule{{From: "one", To: "two", Port: 443, Why: "the test"}},
}

// program copies the test binary to where every user may run it.
func program(t *testing.T, n *Net) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(n.Shared(), "child")
	if err := os.WriteFile(path, b, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOnlyTheTablesLinksAreOpen(t *testing.T) {
	n := Up(t, testPlan)
	exe := program(t, n)
	command := func(verb, host, port string) Command {
		return Command{Name: verb, Args: []string{exe}, Env: []string{childEnv + "=" + verb + " " + n.Address(host) + ":" + port}}
	}
	for _, port := range []string{"443", "444"} {
		server := n.Start("two", command("listen", "two", port))
		waitFor(t, server, "listening")
		if uid, err := server.User(); err != nil || uid != 61002 {
			t.Errorf("process on two runs as user %d, %v; want 61002", uid, err)
		}
	}
	n.Start("one", command("listen", "one", "443"))

	if out, err := n.Run("one", command("dial", "two", "443")); err != nil || string(out) != "hello\n" {
		t.Errorf("one -> two:443: %q, %v; want hello", out, err)
	}
	if got := n.Tries()["one"]; got.Started != 1 || got.Refused != 0 {
		t.Errorf("one started %+v, want one start, none refused", got)
	}
	for _, c := range []struct{ from, to, port string }{{"one", "two", "444"}, {"two", "one", "443"}, {"mute-3", "two", "443"}, {"mute-3", "one", "443"}} {
		before := n.Tries()[c.from].Refused
		if out, err := n.Run(c.from, command("dial", c.to, c.port)); err == nil {
			t.Errorf("%s -> %s:%s is open: %q", c.from, c.to, c.port, out)
		}
		if after := n.Tries()[c.from].Refused; after == before {
			t.Errorf("%s -> %s:%s was tried and not counted", c.from, c.to, c.port)
		}
	}
	if got := n.Tries()["two"]; got.Started != got.Refused {
		t.Errorf("two started %+v; its answers must not count as starts", got)
	}
	if conn, err := n.Dialer("one")(t.Context(), "tcp", n.Address("two")+":443"); err != nil {
		t.Errorf("dialer of one: %v", err)
	} else {
		conn.Close()
	}
	short, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := n.Dialer("mute-3")(short, "tcp", n.Address("two")+":443"); err == nil {
		t.Error("dialer of mute-3 connected")
	}
	// Where no route leads is counted too.
	before := n.Tries()["mute-3"].Started
	if _, err := n.Dialer("mute-3")(t.Context(), "tcp", "192.0.2.1:53"); err == nil {
		t.Error("mute-3 reached an address outside")
	}
	if after := n.Tries()["mute-3"].Started; after == before {
		t.Error("mute-3 tried an address outside and was not counted")
	}
}

func TestCutAndJoin(t *testing.T) {
	n := Up(t, testPlan)
	exe := program(t, n)
	server := n.Start("two", Command{Name: "listen", Args: []string{exe}, Env: []string{childEnv + "=listen " + n.Address("two") + ":443"}})
	waitFor(t, server, "listening")
	dial := Command{Name: "dial", Args: []string{exe}, Env: []string{childEnv + "=dial " + n.Address("two") + ":443"}}
	n.Cut("two")
	if _, err := n.Run("one", dial); err == nil {
		t.Error("two answers though its link is cut")
	}
	n.Join("two")
	if _, err := n.Run("one", dial); err != nil {
		t.Errorf("after the link is back: %v", err)
	}
	server.Kill()
	if _, err := n.Run("one", dial); err == nil {
		t.Error("a killed process answers")
	}
}

func TestFilesAreTheHostsOwn(t *testing.T) {
	n := Up(t, testPlan)
	path := n.Put("one", "keys/deep/key.pem", []byte("secret"))
	if out, err := n.Run("one", Command{Name: "cat", Args: []string{"/usr/bin/cat", path}}); err != nil || string(out) != "secret" {
		t.Errorf("its own user reads %q, %v", out, err)
	}
	if out, err := n.Run("two", Command{Name: "cat", Args: []string{"/usr/bin/cat", path}}); err == nil {
		t.Errorf("another user reads %q", out)
	}
	if out, err := n.Run("one", Command{Name: "env", Args: []string{"/usr/bin/env"}}); err != nil || strings.Contains(string(out), "TERRACE") {
		t.Errorf("environment of a process: %s, %v; want nothing of the test's", out, err)
	}
}

// TestLeftoversAreRemoved lays out what a killed test leaves: a namespace and a
// folder under the id of a process that is gone.
func TestLeftoversAreRemoved(t *testing.T) {
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("%s-%d-1-router", prefix, gone.Process.Pid)
	if err := ip("netns", "add", name); err != nil {
		t.Fatal(err)
	}
	lost := exec.Command("ip", "netns", "exec", name, "sleep", "600")
	if err := lost.Start(); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("%s-%d-1", prefix, gone.Process.Pid))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond) // until ip has become sleep
	Up(t, testPlan)
	if _, err := os.Stat("/run/netns/" + name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("namespace %s is still there: %v", name, err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("folder %s is still there: %v", dir, err)
	}
	if err := lost.Wait(); err == nil {
		t.Error("the lost process ended well; want it killed")
	}
}

func TestBadPlansAreRefused(t *testing.T) {
	good := Host{Name: "a", Zone: "z", UID: 1, GID: 1}
	for name, c := range map[string]struct {
		plan Plan
		want string
	}{
		"root":         {Plan{Hosts: []Host{{Name: "a", Zone: "z"}}}, "not root's"},
		"twice":        {Plan{Hosts: []Host{good, good}}, "twice"},
		"name":         {Plan{Hosts: []Host{{Name: "A b", Zone: "z", UID: 1, GID: 1}}}, "want at most"},
		"unknown host": {Plan{Hosts: []Host{good}, Rules: []Rule{{From: "a", To: "b", Port: 1}}}, "must be hosts"},
		"no port":      {Plan{Hosts: []Host{good}, Rules: []Rule{{From: "a", To: "a"}}}, "must not be 0"},
	} {
		if err := c.plan.check(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want a refusal that says %q", name, err, c.want)
		}
	}
}

func waitFor(t *testing.T, p *Process, text string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(p.Log(), text); time.Sleep(10 * time.Millisecond) {
		if p.Ended() || time.Now().After(deadline) {
			t.Fatalf("%s does not say %q:\n%s", p.name, text, p.Log())
		}
	}
}
