package directory

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
)

// ldifColumns is where lines are folded, as OpenLDAP does.
const ldifColumns = 76

// WriteLDIF writes the entries of a listing as LDIF content records (RFC 2849,
// without the version line, which slapadd does not know), and returns their number. Parents must come before
// children, as in a listing of Layout.Entries. Memory does not grow with it.
func WriteLDIF(ctx context.Context, w io.Writer, list Listing) (int64, error) {
	out := newLDIFWriter(w)
	var n int64
	err := list(ctx, func(e Entry) error {
		n++
		return out.entry(e, "")
	})
	if err == nil {
		err = out.flush()
	}
	if err != nil {
		return n, fmt.Errorf("write LDIF: %w", err)
	}
	return n, nil
}

// Entries is the listing of what is desired, the base first: what WriteLDIF
// needs for the initial load. desired must name each CA before its serials. What
// is loaded so is filled: the base entry says so.
func (l *Layout) Entries(desired Desired) Listing {
	root := l.root.marked(newMark())
	return func(ctx context.Context, yield func(Entry) error) error {
		if err := yield(root); err != nil {
			return err
		}
		return desired(ctx, func(p Publication) error {
			w, err := l.Want(p)
			if err != nil || w.Entry == nil {
				return err
			}
			return yield(*w.Entry)
		})
	}
}

type ldifWriter struct {
	out *bufio.Writer
	buf []byte
	err error
}

func newLDIFWriter(w io.Writer) *ldifWriter { return &ldifWriter{out: bufio.NewWriterSize(w, 64<<10)} }

// entry writes a record; changeType is empty for a content record.
func (w *ldifWriter) entry(e Entry, changeType string) error {
	if err := e.check(); err != nil {
		return err
	}
	w.line("dn", e.DN)
	if changeType != "" {
		w.line("changetype", changeType)
	}
	for _, a := range e.Attributes {
		for _, v := range a.Values {
			w.value(a.Type, v)
		}
	}
	w.end()
	return w.err
}

// end writes the empty line after a record.
func (w *ldifWriter) end() { w.write([]byte{'\n'}) }

func (w *ldifWriter) line(typ, value string) { w.value(typ, []byte(value)) }

// value writes "type: value", in Base64 unless it is a SAFE-STRING of RFC 2849
// that does not end with a space.
func (w *ldifWriter) value(typ string, v []byte) {
	w.buf = append(w.buf[:0], typ...)
	if isSafe(v) && !strings.Contains(typ, ";binary") {
		w.buf = append(append(w.buf, ": "...), v...)
	} else {
		w.buf = base64.StdEncoding.AppendEncode(append(w.buf, ":: "...), v)
	}
	for rest, n := w.buf, ldifColumns; ; n = ldifColumns - 1 {
		if len(rest) <= n {
			w.write(rest)
			w.end()
			return
		}
		w.write(rest[:n])
		w.write([]byte("\n "))
		rest = rest[n:]
	}
}

func (w *ldifWriter) write(b []byte) {
	if w.err == nil {
		_, w.err = w.out.Write(b)
	}
}

func (w *ldifWriter) flush() error {
	if w.err == nil {
		w.err = w.out.Flush()
	}
	return w.err
}

func isSafe(v []byte) bool {
	for i, c := range v {
		if c == 0 || c == '\n' || c == '\r' || c >= 0x80 ||
			(i == 0 && (c == ' ' || c == ':' || c == '<')) ||
			(i == len(v)-1 && c == ' ') {
			return false
		}
	}
	return true
}
