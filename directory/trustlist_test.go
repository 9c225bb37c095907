package directory_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/terrace-pki/terrace/directory"
	"github.com/terrace-pki/terrace/directory/directorytest"
)

func TestTrustListsReachTheSlaves(t *testing.T) {
	f := newField(t)
	ca := directorytest.NewCA(t, "industryca-ministry-g1")
	list := func(extension string, number int64, n int) directory.Publication {
		// slapd wants BER; the longest list that is signed has 4 MiB.
		der := append([]byte{0x04, 0x84, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, make([]byte, n)...)
		return directory.Publication{CA: ca.Name, TrustList: &directory.TrustList{Extension: extension, Number: number, DER: der}}
	}
	n := f.publish(t, list("ctl", 7, 100), list("p7b", 7, 100), ca.Authority(nil))
	if n.Added != 3 {
		t.Errorf("published %+v, want three entries", n)
	}
	f.push(t)
	f.same(t)
	last := list("ctl", 8, 4<<20-100)
	if n := f.publish(t, last); n.Modified != 1 {
		t.Errorf("the next list: %+v, want one entry modified", n)
	}
	if n := f.publish(t, last); n.Unchanged != 1 {
		t.Errorf("the same again: %+v", n)
	}
	f.push(t)
	f.same(t)
	held, err := f.edit[0].Get(t.Context(), []string{"cn=trustlist.ctl,ou=industryca-ministry-g1," + base})
	if err != nil || held[0] == nil {
		t.Fatal(held, err)
	}
	if got := held[0].Values("userSMIMECertificate"); len(got) != 1 || !bytes.Equal(got[0], last.TrustList.DER) {
		t.Error("a slave holds another list")
	}
}

func TestBadTrustLists(t *testing.T) {
	for name, list := range map[string]directory.TrustList{
		"form":   {Extension: "exe", Number: 1, DER: []byte{1}},
		"number": {Extension: "ctl", DER: []byte{1}},
		"empty":  {Extension: "p7b", Number: 1},
	} {
		_, err := newLayout(t, directory.NamingSerial, directory.Public).Want(directory.Publication{CA: "industryca-a-g1", TrustList: &list})
		if err == nil || !strings.Contains(err.Error(), "trust list") {
			t.Errorf("%s: got %v, want a refusal", name, err)
		}
	}
}
