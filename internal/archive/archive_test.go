package archive_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/terrace-pki/terrace/internal/archive"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

// rows is a ledger of expired certificates: row i has the content "certificate i".
type rows struct {
	n       int64
	fail    int64 // DropContent fails at this row, 0: never
	dropped []int64
	notes   []map[string]string
}

func (r *rows) Expired(_ context.Context, _ time.Time, after int64, limit int) (page []authority.Archivable, next int64, err error) {
	next = min(after+int64(limit), r.n)
	for i := after + 1; i <= next; i++ {
		if slices.Contains(r.dropped, i) {
			continue
		}
		page = append(page, authority.Archivable{Row: i, Record: authority.Record{Issuer: authority.IssuerKey{Authority: "BusinessCA/a/b", Generation: 1},
			Serial: pki.Serial(fmt.Sprintf("%04X", i)), Identity: authority.Identity{Kind: "CertificateRequest", Namespace: "a", Name: fmt.Sprint(i)}, Certificate: fmt.Appendf(nil, "certificate %d", i)}})
	}
	return page, next, nil
}

var errDisk = errors.New("disk")

func (r *rows) DropContent(_ context.Context, _ time.Time, ids []int64) (int64, error) {
	if r.fail > 0 && slices.Contains(ids, r.fail) {
		return 0, errDisk
	}
	r.dropped = append(r.dropped, ids...)
	return int64(len(ids)), nil
}

func (r *rows) NoteArchive(_ context.Context, note map[string]string) error {
	r.notes = append(r.notes, note)
	return nil
}

var before = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func write(t *testing.T, r *rows, most int) ([]byte, archive.Written) {
	t.Helper()
	var out bytes.Buffer
	w, err := archive.Write(t.Context(), r, before, most, &out)
	if err != nil {
		t.Fatal(err)
	}
	digest, n, err := archive.Verify(bytes.NewReader(out.Bytes()))
	if err != nil || n != len(w.Rows) || !bytes.Equal(digest, w.Digest) {
		t.Fatalf("verify: %d certificates of %d, %v", n, len(w.Rows), err)
	}
	return out.Bytes(), w
}

func TestArchive(t *testing.T) {
	r := &rows{n: 2500}
	_, w := write(t, r, 2000)
	if len(w.Rows) != 2000 || !w.More {
		t.Fatalf("%d rows, more %t", len(w.Rows), w.More)
	}
	r.fail = 1500 // dies between two batches
	if n, err := archive.Drop(t.Context(), r, before, "a.pem", w); n != 1000 || !errors.Is(err, errDisk) {
		t.Errorf("dropped %d, %v", n, err)
	}
	r.fail = 0
	file, w := write(t, r, 2000)
	if n, err := archive.Drop(t.Context(), r, before, "b.pem", w); n != 1500 || err != nil || w.More {
		t.Errorf("dropped %d, more %t, %v", n, w.More, err)
	}
	if len(r.notes) != 2 || r.notes[1]["file"] != "b.pem" || r.notes[1]["certificates"] != "1500" {
		t.Errorf("notes %v", r.notes)
	}
	certs := bytes.Count(file, []byte("BEGIN CERTIFICATE"))
	if certs != 1500 || !bytes.Contains(file, []byte("serial 03E9 of BusinessCA/a/b/g1, \"CertificateRequest/a/1001\", SM3 ")) {
		t.Errorf("%d certificates in\n%.400s", certs, file)
	}
}

func TestVerifyFindsDamage(t *testing.T) {
	file, _ := write(t, &rows{n: 3}, 10)
	for i := range file {
		changed := bytes.Clone(file)
		changed[i] ^= 2
		for name, b := range map[string][]byte{"changed at": changed, "cut at": file[:i]} {
			if _, _, err := archive.Verify(bytes.NewReader(b)); err == nil {
				t.Errorf("%s %d: taken", name, i)
			}
		}
	}
	if _, _, err := archive.Verify(strings.NewReader(string(file) + "x")); err == nil {
		t.Error("followed by something: taken")
	}
}
