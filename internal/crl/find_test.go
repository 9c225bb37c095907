package crl_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-pki/terrace/internal/crl"
)

func TestFind(t *testing.T) {
	issuer, key := authority(t)
	want := template(issuer)
	der, err := crl.Sign(key, want)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range want.Entries {
		got, found, err := crl.Find(der, e.Serial)
		if err != nil || !found || cmp.Diff(e, got) != "" {
			t.Errorf("serial %s: found %t, %v:\n%s", e.Serial, found, err, cmp.Diff(e, got))
		}
	}
	if _, found, err := crl.Find(der, "0103"); found || err != nil {
		t.Errorf("a serial that is not on the list: found %t, %v", found, err)
	}
	if _, _, err := crl.Find([]byte("no list"), "0102"); err == nil {
		t.Error("what is no list was read")
	}
}
