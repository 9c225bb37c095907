package app

import (
	"os"
	"strings"
	"testing"

	"github.com/terrace-pki/terrace/internal/link"
)

func TestValidationNodeHasOnePeer(t *testing.T) {
	_, node := newNodeProcess(t, t.TempDir())
	file := node.config.PeersFile
	one, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	key, err := link.EnsureKey(file + ".key")
	if err != nil {
		t.Fatal(err)
	}
	pem := strings.ReplaceAll(strings.TrimSpace(string(key.PublicPEM())), "\n", "\n    ")
	peers, err := link.OpenPeers(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := (solePeer{peers}).Peer("ca"); !ok {
		t.Error("the one peer is not believed")
	}
	for want, content := range map[string]string{
		"names 2 processes (ca, ca-2)": string(one) + "- name: ca-2\n  publicKey: |\n    " + pem + "\n",
		"names nobody":                 "peers: []\n",
	} {
		writeFile(t, file, content)
		node.start(t)
		if err := node.cmd.Wait(); err == nil || !strings.Contains(node.stderr.String(), want) || !strings.Contains(node.stderr.String(), "exactly one peer") {
			t.Errorf("the node ends with %v: %s; want a refusal that says %s", err, node.stderr.String(), want)
		}
		if peers, err = link.OpenPeers(file); err != nil {
			t.Fatal(err)
		}
		if _, ok := (solePeer{peers}).Peer("ca"); ok {
			t.Errorf("%s: ca is believed", want) // as after the file was replaced
		}
	}
}
