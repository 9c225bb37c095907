package link

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-pki/terrace/internal/transport/reload"
)

func entry(name string, key *Key, more string) string {
	return fmt.Sprintf("- name: %s\n  publicKey: |\n    %s\n%s", name, strings.ReplaceAll(strings.TrimSpace(string(key.PublicPEM())), "\n", "\n    "), more)
}

func TestParsePeers(t *testing.T) {
	ra, other := newKey(t), newKey(t)
	peers, err := ParsePeers([]byte("peers:\n" + entry("ra", ra, "  authorities: [BusinessCA/ministry/province]\n  registrationAuthorities: [ministry/ra]\n  namespaces: [people]\n") + entry("manager", other, "  namespaces: ['*']\n")))
	if err != nil {
		t.Fatal(err)
	}
	got, ok := peers.Peer("ra")
	if !ok || !got.PublicKey.Equal(ra.Public()) || len(peers) != 2 {
		t.Fatalf("got %d peers, ra %v", len(peers), ok)
	}
	if diff := cmp.Diff([]string{"BusinessCA/ministry/province"}, got.Authorities); diff != "" {
		t.Errorf("authorities (-want +got):\n%s", diff)
	}
	for name, tc := range map[string]struct {
		err  error
		want error
	}{
		"its authority":    {got.MayAct("BusinessCA/ministry/province"), nil},
		"another":          {got.MayAct("BusinessCA/ministry/city"), ErrForbidden},
		"none":             {got.MayAct(""), ErrForbidden},
		"its RA":           {got.MayActForRegistration("ministry/ra"), nil},
		"another RA":       {got.MayActForRegistration("province/ra"), ErrForbidden},
		"its namespace":    {got.MayBring("people"), nil},
		"another's":        {got.MayBring("province"), ErrForbidden},
		"the wildcard":     {got.MayBring("*"), ErrForbidden},
		"no namespace":     {peers["manager"].MayBring(""), ErrForbidden},
		"all namespaces":   {peers["manager"].MayBring("province"), nil},
		"who has no lists": {peers["manager"].MayAct("BusinessCA/ministry/province"), ErrForbidden},
	} {
		if !errors.Is(tc.err, tc.want) {
			t.Errorf("%s: got %v, want %v", name, tc.err, tc.want)
		}
	}
}

func TestParsePeersRefuses(t *testing.T) {
	key, other := newKey(t), newKey(t)
	for name, tc := range map[string]struct{ text, want string }{
		"unknown field":      {"peers:\n" + entry("ra", key, "  admin: true\n"), `unknown field "admin"`},
		"unknown at the top": {"peers: []\nallow: all\n", `unknown field "allow"`},
		"a field twice":      {"peers: []\npeers: []\n", "already set"},
		"a peer twice":       {"peers:\n" + entry("ra", key, "") + entry("ra", other, ""), "listed twice"},
		"one key for two":    {"peers:\n" + entry("ra", key, "") + entry("rb", key, ""), `is also that of "ra"`},
		"no name":            {"peers:\n" + entry(`""`, key, ""), "name"},
		"no key":             {"peers:\n- name: ra\n", "publicKey"},
		"a private key":      {"peers:\n- name: ra\n  publicKey: |\n    -----BEGIN PRIVATE KEY-----\n    AAAA\n    -----END PRIVATE KEY-----\n", "publicKey"},
		"a wildcard":         {"peers:\n" + entry("ra", key, "  authorities: ['BusinessCA/ministry/*']\n"), "want BusinessCA/namespace/name"},
		"a kind too many":    {"peers:\n" + entry("ra", key, "  authorities: [KeyManagementCenter/ministry/kmc]\n"), "want BusinessCA/namespace/name"},
		"an RA of no form":   {"peers:\n" + entry("ra", key, "  registrationAuthorities: [ra]\n"), "want namespace/name"},
		"a namespace's part": {"peers:\n" + entry("ra", key, "  namespaces: ['people*']\n"), "* for all"},
		"too large":          {strings.Repeat("#", maxPeersFile+1), "at most"},
		"no YAML":            {"peers: [", "yaml"},
	} {
		if _, err := ParsePeers([]byte(tc.text)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
		}
	}
}

func TestPeersFileIsReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(reload.Interval + 50*time.Millisecond)
	}
	if _, err := OpenPeers(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent: got %v, want %v", err, os.ErrNotExist)
	}
	if err := os.WriteFile(path, []byte("peers: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := OpenPeers(path)
	if err != nil {
		t.Fatal(err)
	}
	if f.Allowed("ra") {
		t.Error("an empty file allows ra")
	}
	write("peers:\n" + entry("ra", newKey(t), ""))
	if !f.Allowed("ra") || f.Check() != nil {
		t.Errorf("after ra was added: allowed %v, %v", f.Allowed("ra"), f.Check())
	}
	write("peers: nobody\n")
	if err := f.Check(); err == nil || !strings.Contains(err.Error(), path) || !f.Allowed("ra") {
		t.Errorf("after it was damaged: got %v, allowed %v; want an error and the peers from before", err, f.Allowed("ra"))
	}
}
