package backup

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash"
	"io"

	"github.com/emmansun/gmsm/sm3"
)

// Writer writes one backup. After an error the file is not to be used.
type Writer struct {
	out     *bufio.Writer
	sum     hash.Hash
	row     []byte
	columns int
	table   string
	rows    map[string]int64
	// Progress, if not nil, is told after every 10,000 rows how many there are of a table.
	Progress func(table string, rows int64)
}

// progressRows is how many rows come between two calls of Progress.
const progressRows = 10_000

// NewWriter begins a file.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	b := &Writer{sum: sm3.New(), rows: map[string]int64{}}
	b.out = bufio.NewWriterSize(io.MultiWriter(w, b.sum), 1<<20)
	if _, err := b.out.WriteString(magic); err != nil {
		return nil, err
	}
	return b, b.json(kindHeader, h)
}

// Table begins the rows of a table.
func (b *Writer) Table(t Table) error {
	if err := t.check(); err != nil {
		return err
	}
	if _, twice := b.rows[t.Name]; twice {
		return fmt.Errorf("table %s: stands twice in the backup", t.Name)
	}
	b.table, b.columns, b.rows[t.Name] = t.Name, len(t.Columns), 0
	return b.json(kindTable, t)
}

// Row adds a row: nil, int64, string or []byte for each column.
func (b *Writer) Row(values []any) error {
	if b.table == "" || len(values) != b.columns {
		return fmt.Errorf("table %q: row of %d values, want %d", b.table, len(values), b.columns)
	}
	b.row = b.row[:0]
	for i, value := range values {
		switch v := value.(type) {
		case nil:
			b.row = append(b.row, 'N')
		case int64:
			b.row = binary.BigEndian.AppendUint64(append(b.row, 'I'), uint64(v))
		case string:
			b.row = append(binary.BigEndian.AppendUint32(append(b.row, 'T'), uint32(len(v))), v...)
		case []byte:
			b.row = append(binary.BigEndian.AppendUint32(append(b.row, 'B'), uint32(len(v))), v...)
		default:
			return fmt.Errorf("table %s: column %d is a %T", b.table, i+1, value)
		}
		if len(b.row) > maxFrame {
			return fmt.Errorf("table %s: row of more than %d bytes", b.table, maxFrame)
		}
	}
	b.rows[b.table]++
	if n := b.rows[b.table]; b.Progress != nil && n%progressRows == 0 {
		b.Progress(b.table, n)
	}
	return b.frame(kindRow, b.row)
}

// Close ends the file with the highest numbers of the snapshot and returns its
// manifest and digest. It does not close the underlying writer.
func (b *Writer) Close(feed, audit int64) (Manifest, []byte, error) {
	m := Manifest{Rows: b.rows, Feed: feed, Audit: audit}
	if err := b.json(kindManifest, m); err != nil {
		return Manifest{}, nil, err
	}
	if err := b.out.Flush(); err != nil {
		return Manifest{}, nil, err
	}
	digest := b.sum.Sum(nil)
	if _, err := b.out.Write(digest); err != nil {
		return Manifest{}, nil, err
	}
	return m, digest, b.out.Flush()
}

func (b *Writer) json(kind byte, v any) error {
	content, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return b.frame(kind, content)
}

func (b *Writer) frame(kind byte, content []byte) error {
	var head [5]byte
	head[0] = kind
	binary.BigEndian.PutUint32(head[1:], uint32(len(content)))
	if _, err := b.out.Write(head[:]); err != nil {
		return err
	}
	_, err := b.out.Write(content)
	return err
}
