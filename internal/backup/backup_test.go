package backup_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-pki/terrace/internal/backup"
)

var header = backup.Header{Schema: 1, Database: "sqlite", At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}

func write(tb testing.TB) (file, digest []byte) {
	tb.Helper()
	var out bytes.Buffer
	w, err := backup.NewWriter(&out, header)
	if err != nil {
		tb.Fatal(err)
	}
	for _, table := range []backup.Table{{Name: "serials", Columns: []string{"id", "serial", "name", "tbs"}}, {Name: "empty", Columns: []string{"id"}}} {
		if err := w.Table(table); err != nil {
			tb.Fatal(err)
		}
		if table.Name == "empty" {
			continue
		}
		for _, row := range [][]any{{int64(1), []byte{1, 0, 255}, "张三", nil}, {int64(-5), []byte{}, "", []byte{0}}} {
			if err := w.Row(row); err != nil {
				tb.Fatal(err)
			}
		}
	}
	_, digest, err = w.Close(7, 9)
	if err != nil {
		tb.Fatal(err)
	}
	return out.Bytes(), digest
}

func TestRoundTrip(t *testing.T) {
	file, digest := write(t)
	var got []any
	m, sum, err := backup.Read(bytes.NewReader(file), backup.Visitor{
		Header: func(h backup.Header) error { got = append(got, h); return nil },
		Table:  func(b backup.Table) error { got = append(got, b.Name); return nil },
		Row: func(row []any) error {
			for _, v := range row {
				if b, ok := v.([]byte); ok {
					v = bytes.Clone(b)
				}
				got = append(got, v)
			}
			return nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	want := []any{header, "serials", int64(1), []byte{1, 0, 255}, "张三", nil, int64(-5), []byte{}, "", []byte{0}, "empty"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(backup.Manifest{Rows: map[string]int64{"serials": 2, "empty": 0}, Feed: 7, Audit: 9}, m); diff != "" || !bytes.Equal(sum, digest) {
		t.Errorf("%s, digest %x, want %x", diff, sum, digest)
	}
}

// Whatever octet is changed, and wherever the file ends, it is found.
func TestDamageIsFound(t *testing.T) {
	file, _ := write(t)
	for i := range file {
		changed := bytes.Clone(file)
		changed[i] ^= 0x41
		for name, b := range map[string][]byte{"changed at": changed, "cut at": file[:i]} {
			if _, _, err := backup.Read(bytes.NewReader(b), backup.Visitor{}); !errors.Is(err, backup.ErrDamaged) {
				t.Errorf("%s %d of %d: %v", name, i, len(file), err)
			}
		}
	}
	if _, _, err := backup.Read(bytes.NewReader(append(bytes.Clone(file), 0)), backup.Visitor{}); !errors.Is(err, backup.ErrDamaged) {
		t.Errorf("followed by an octet: %v", err)
	}
}

func TestWriterRefuses(t *testing.T) {
	w, err := backup.NewWriter(&bytes.Buffer{}, header)
	if err != nil {
		t.Fatal(err)
	}
	if w.Row([]any{int64(1)}) == nil {
		t.Error("a row before a table is taken")
	}
	for _, table := range []backup.Table{{Name: "a; DROP TABLE b", Columns: []string{"id"}}, {Name: "a"}, {Name: "a", Columns: []string{"b", "b"}}, {Name: "a", Columns: []string{"B"}}} {
		if w.Table(table) == nil {
			t.Errorf("table %v is taken", table)
		}
	}
	if err := w.Table(backup.Table{Name: "a", Columns: []string{"id"}}); err != nil {
		t.Fatal(err)
	}
	for _, row := range [][]any{{}, {int64(1), int64(2)}, {1}, {true}} {
		if w.Row(row) == nil {
			t.Errorf("row %v is taken", row)
		}
	}
	if w.Table(backup.Table{Name: "a", Columns: []string{"id"}}) == nil {
		t.Error("a table is taken twice")
	}
}

func FuzzRead(f *testing.F) {
	file, _ := write(f)
	f.Add(file)
	f.Add(file[:60])
	f.Add([]byte("terrace ledger backup 1\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		var tables, rows int
		m, _, err := backup.Read(bytes.NewReader(in), backup.Visitor{
			Table: func(backup.Table) error { tables++; return nil },
			Row:   func([]any) error { rows++; return nil }})
		if err == nil && (len(m.Rows) != tables || m.Total() != int64(rows)) {
			t.Errorf("%d tables and %d rows seen, manifest %v", tables, rows, m)
		}
		if err != nil && !errors.Is(err, backup.ErrDamaged) {
			t.Errorf("error of another sort: %v", err)
		}
	})
}
