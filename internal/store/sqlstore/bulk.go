package sqlstore

import (
	"context"
	"database/sql"
	"math/bits"
	"strconv"
	"strings"
	"sync"

	"github.com/terrace-pki/terrace/internal/authority"
)

// bulk is a statement over rows of parameters: before, the rows, after. The rows
// are VALUES, or arrays that the database unnests; both name their columns
// column1, column2, ... Parameters are numbered: the fixed ones come first and may stand in
// before and after.
type bulk struct {
	before, after string
	fixed         int
	// columns are the types of a row's parameters: TEXT, BIGINT, BYTES.
	columns []string
}

// texts keeps statement texts: rows of VALUES go in powers of two, so there are
// few, and the drivers keep them prepared.
type texts struct {
	mu   sync.Mutex
	made map[textKey]string
}

type textKey struct {
	statement *bulk
	rows      int
}

func (t *texts) get(d Dialect, b *bulk, rows int) string {
	if d.Unnest {
		rows = 0 // one text for any number
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	k := textKey{b, rows}
	text, ok := t.made[k]
	if !ok {
		text = b.text(d, rows)
		if t.made == nil {
			t.made = map[textKey]string{}
		}
		t.made[k] = text
	}
	return text
}

func (b *bulk) text(d Dialect, rows int) string {
	var w strings.Builder
	w.WriteString(b.before)
	if d.Unnest {
		b.unnest(&w, d)
	} else {
		b.values(&w, rows)
	}
	w.WriteString(b.after)
	if d.QuestionMark {
		return strings.ReplaceAll(w.String(), "$", "?")
	}
	return w.String()
}

func (b *bulk) unnest(w *strings.Builder, d Dialect) {
	w.WriteString("SELECT * FROM unnest(")
	names := make([]string, len(b.columns))
	for i, column := range b.columns {
		if i > 0 {
			w.WriteString(", ")
		}
		if column == "BYTES" {
			column = d.Blob
		}
		w.WriteString("$" + strconv.Itoa(b.fixed+i+1) + "::" + column + "[]")
		names[i] = "column" + strconv.Itoa(i+1)
	}
	w.WriteString(") AS u(" + strings.Join(names, ", ") + ")")
}

func (b *bulk) values(w *strings.Builder, rows int) {
	w.WriteString("VALUES ")
	n := b.fixed
	for i := range rows {
		if i > 0 {
			w.WriteString(", ")
		}
		for j := range b.columns {
			n++
			w.WriteString(map[bool]string{true: "($", false: ", $"}[j == 0] + strconv.Itoa(n))
		}
		w.WriteString(")")
	}
}

// each calls do for runs of rows: all of them where they are unnested, otherwise
// the largest power of two first.
func (s *Store) each(rows int, do func(first, n int) error) error {
	for first := 0; first < rows; {
		n := rows - first
		if !s.c.Dialect.Unnest {
			n = min(1<<(bits.Len(uint(n))-1), authority.MaxSlice)
		}
		if err := do(first, n); err != nil {
			return err
		}
		first += n
	}
	return nil
}

// exec runs b over rows; row appends the parameters of one: string, int64 or
// []byte as the columns say. It returns the number of rows that the database changed.
func (s *Store) exec(ctx context.Context, tx *sql.Tx, b *bulk, rows int, row func(args []any, i int) []any, fixed ...any) (changed int64, err error) {
	err = s.each(rows, func(first, n int) error {
		res, err := tx.ExecContext(ctx, s.texts.get(s.c.Dialect, b, n), b.args(s.c.Dialect, first, n, row, fixed)...)
		if err != nil {
			return err
		}
		c, err := res.RowsAffected()
		changed += c
		return err
	})
	return changed, err
}

// query runs b over rows and scan over each row of the answer.
func (s *Store) query(ctx context.Context, q rowsQuerier, b *bulk, rows int, row func(args []any, i int) []any, scan func(*sql.Rows) error, fixed ...any) error {
	return s.each(rows, func(first, n int) error {
		found, err := q.QueryContext(ctx, s.texts.get(s.c.Dialect, b, n), b.args(s.c.Dialect, first, n, row, fixed)...)
		if err != nil {
			return err
		}
		return scanEach(found, scan)
	})
}

func (b *bulk) args(d Dialect, first, n int, row func(args []any, i int) []any, fixed []any) []any {
	args := append(make([]any, 0, b.fixed+n*len(b.columns)), fixed...)
	if !d.Unnest {
		for i := first; i < first+n; i++ {
			args = row(args, i)
		}
		return args
	}
	arrays := make([]any, len(b.columns))
	for j, column := range b.columns {
		switch column {
		case "TEXT":
			arrays[j] = make([]string, n)
		case "BIGINT":
			arrays[j] = make([]int64, n)
		default:
			arrays[j] = make([][]byte, n)
		}
	}
	one := make([]any, 0, len(b.columns))
	for i := range n {
		one = row(one[:0], first+i)
		for j, value := range one {
			switch array := arrays[j].(type) {
			case []string:
				array[i] = value.(string)
			case []int64:
				array[i] = value.(int64)
			case [][]byte:
				array[i] = value.([]byte)
			}
		}
	}
	return append(args, arrays...)
}

// scanEach closes rows.
func scanEach(rows *sql.Rows, scan func(*sql.Rows) error) error {
	defer func() { _ = rows.Close() }() // Err below says what matters
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// scanAll closes rows and returns what scan made of each.
func scanAll[T any](rows *sql.Rows, scan func(*sql.Rows) (T, error)) (all []T, err error) {
	err = scanEach(rows, func(rows *sql.Rows) error {
		one, err := scan(rows)
		all = append(all, one)
		return err
	})
	return all, err
}

// BulkText is a statement with the number of its parameters.
type BulkText struct {
	SQL        string
	Parameters int
}

// BulkTexts returns the statements that look up or change rows of the ledger for
// a slice, by name, with as many rows of parameters: for the dialects' tests of plans.
func BulkTexts(d Dialect, rows int) map[string]BulkText {
	all := map[string]BulkText{}
	for name, b := range map[string]*bulk{"lookup": &lookup, "insertAttempts": &insertAttempts, "findAttempts": &findAttempts, "deleteAttempts": &deleteAttempts,
		"recordsBySerial": &recordsByID} {
		parameters := b.fixed + len(b.columns)
		if !d.Unnest {
			parameters = b.fixed + rows*len(b.columns)
		}
		all[name] = BulkText{b.text(d, rows), parameters}
	}
	return all
}
