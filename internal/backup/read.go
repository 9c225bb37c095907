package backup

import (
	"bufio"
	"bytes"
	"crypto/subtle"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"unicode/utf8"

	"github.com/emmansun/gmsm/sm3"
)

// Visitor sees what a backup holds, in its order. What it is given is valid for
// the time of the call.
type Visitor struct {
	Header func(Header) error
	Table  func(Table) error
	Row    func([]any) error
}

// Read reads a whole backup; each function of v may be nil. It returns the manifest and digest once all of
// the file was found undamaged, so what v sees before that is not to be
// believed yet: read a file once before it is used. Errors about the file are ErrDamaged.
func Read(r io.Reader, v Visitor) (Manifest, []byte, error) {
	b := &reader{in: bufio.NewReaderSize(r, 1<<20), sum: sm3.New(), rows: map[string]int64{}, v: v}
	m, err := b.read()
	if err != nil {
		return Manifest{}, nil, err
	}
	return m, b.sum.Sum(nil), nil
}

type reader struct {
	in    *bufio.Reader
	sum   hash.Hash
	frame bytes.Buffer
	table Table
	row   []any
	rows  map[string]int64
	v     Visitor
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrDamaged, fmt.Errorf(format, args...))
}

func (b *reader) read() (Manifest, error) {
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(b.in, head); err != nil || string(head) != magic {
		return Manifest{}, damaged("it does not begin with %q: not a backup of this format", magic)
	}
	b.sum.Write(head)
	kind, err := b.next()
	if err != nil {
		return Manifest{}, err
	}
	var h Header
	if kind != kindHeader {
		return Manifest{}, damaged("no header")
	}
	if err := b.json(&h); err != nil {
		return Manifest{}, err
	}
	if h.Schema < 1 {
		return Manifest{}, damaged("header: schema %d: counts from 1", h.Schema)
	}
	if b.v.Header != nil {
		if err := b.v.Header(h); err != nil {
			return Manifest{}, err
		}
	}
	for {
		kind, err := b.next()
		if err != nil {
			return Manifest{}, err
		}
		switch kind {
		case kindTable:
			err = b.begin()
		case kindRow:
			err = b.values()
		case kindManifest:
			return b.end()
		default:
			err = damaged("frame of kind %q", kind)
		}
		if err != nil {
			return Manifest{}, err
		}
	}
}

// next reads a frame. The buffer grows with what is there, not with what is announced.
func (b *reader) next() (kind byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(b.in, head[:]); err != nil {
		return 0, damaged("it is cut off")
	}
	n := binary.BigEndian.Uint32(head[1:])
	if limit := map[bool]uint32{true: maxFrame, false: maxJSON}[head[0] == kindRow]; n > limit {
		return 0, damaged("frame of %d bytes, at most %d are allowed", n, limit)
	}
	b.frame.Reset()
	if _, err := io.CopyN(&b.frame, b.in, int64(n)); err != nil {
		return 0, damaged("it is cut off")
	}
	b.sum.Write(head[:])
	b.sum.Write(b.frame.Bytes())
	return head[0], nil
}

func (b *reader) json(v any) error {
	d := json.NewDecoder(bytes.NewReader(b.frame.Bytes()))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return damaged("decode %T: %w", v, err)
	}
	return nil
}

func (b *reader) begin() error {
	b.table = Table{}
	if err := b.json(&b.table); err != nil {
		return err
	}
	if err := b.table.check(); err != nil {
		return damaged("%w", err)
	}
	if _, twice := b.rows[b.table.Name]; twice || len(b.rows) == maxTables {
		return damaged("table %s: stands twice, or there are more than %d", b.table.Name, maxTables)
	}
	b.rows[b.table.Name] = 0
	b.row = make([]any, len(b.table.Columns))
	if b.v.Table == nil {
		return nil
	}
	return b.v.Table(b.table)
}

func (b *reader) values() error {
	if b.table.Name == "" {
		return damaged("a row before the first table")
	}
	rest := b.frame.Bytes()
	for i := range b.row {
		var err error
		if b.row[i], rest, err = value(rest); err != nil {
			return damaged("table %s: column %s: %w", b.table.Name, b.table.Columns[i], err)
		}
	}
	if len(rest) > 0 {
		return damaged("table %s: row with %d bytes too many", b.table.Name, len(rest))
	}
	b.rows[b.table.Name]++
	if b.v.Row == nil {
		return nil
	}
	return b.v.Row(b.row)
}

func value(in []byte) (v any, rest []byte, err error) {
	if len(in) == 0 {
		return nil, nil, errors.New("missing")
	}
	kind, in := in[0], in[1:]
	switch kind {
	case 'N':
		return nil, in, nil
	case 'I':
		if len(in) < 8 {
			return nil, nil, errors.New("integer is cut off")
		}
		return int64(binary.BigEndian.Uint64(in)), in[8:], nil
	case 'T', 'B':
		if len(in) < 4 || uint64(len(in)-4) < uint64(binary.BigEndian.Uint32(in)) {
			return nil, nil, errors.New("text or bytes are cut off")
		}
		n := 4 + int(binary.BigEndian.Uint32(in))
		content := in[4:n]
		if kind == 'B' {
			return content, in[n:], nil
		}
		if !utf8.Valid(content) {
			return nil, nil, errors.New("text is not UTF-8")
		}
		return string(content), in[n:], nil
	}
	return nil, nil, fmt.Errorf("value of kind %q", kind)
}

// end checks what the manifest says, the digest, and that nothing follows.
func (b *reader) end() (Manifest, error) {
	var m Manifest
	if err := b.json(&m); err != nil {
		return m, err
	}
	if !maps.Equal(m.Rows, b.rows) {
		return m, damaged("it holds %v rows, and its manifest says %v", b.rows, m.Rows)
	}
	digest := make([]byte, sm3.Size)
	if _, err := io.ReadFull(b.in, digest); err != nil {
		return m, damaged("its digest is cut off")
	}
	if subtle.ConstantTimeCompare(digest, b.sum.Sum(nil)) != 1 {
		return m, damaged("its SM3 digest does not fit its content")
	}
	if _, err := b.in.ReadByte(); err != io.EOF {
		return m, damaged("something follows its digest")
	}
	return m, nil
}
