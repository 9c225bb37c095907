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

// bulk is a statement over rows of parameters: before, VALUES rows, after.
// Parameters are numbered: the fixed ones come first and may stand in before and
// after.
type bulk struct {
	before, after string
	fixed         int
	// columns are the types of a row's parameters: TEXT, BIGINT, BYTES.
	columns []string
}

// texts keeps statement texts: rows go in powers of two, so there are few, and
// the drivers keep them prepared.
type texts struct {
	mu   sync.Mutex
	made map[textKey]string
}

type textKey struct {
	statement *bulk
	rows      int
}

func (t *texts) get(d Dialect, b *bulk, rows int) string {
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
	w.WriteString("VALUES ")
	n := b.fixed
	for i := range rows {
		if i > 0 {
			w.WriteString(", ")
		}
		for j, column := range b.columns {
			if column == "BYTES" {
				column = d.Blob
			}
			w.WriteString(map[bool]string{true: "(", false: ", "}[j == 0])
			n++
			w.WriteString("CAST($" + strconv.Itoa(n) + " AS " + column + ")")
		}
		w.WriteString(")")
	}
	w.WriteString(b.after)
	if d.QuestionMark {
		return strings.ReplaceAll(w.String(), "$", "?")
	}
	return w.String()
}

// each calls do for runs of rows, the largest power of two first.
func each(rows int, do func(first, n int) error) error {
	for first := 0; first < rows; {
		n := min(1<<(bits.Len(uint(rows-first))-1), authority.MaxSlice)
		if err := do(first, n); err != nil {
			return err
		}
		first += n
	}
	return nil
}

// exec runs b over rows; row appends the parameters of one. It returns the
// number of rows that the database changed.
func (s *Store) exec(ctx context.Context, tx *sql.Tx, b *bulk, rows int, row func(args []any, i int) []any, fixed ...any) (changed int64, err error) {
	err = each(rows, func(first, n int) error {
		res, err := tx.ExecContext(ctx, s.texts.get(s.c.Dialect, b, n), b.args(first, n, row, fixed)...)
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
func (s *Store) query(ctx context.Context, q rowsQuerier, b *bulk, rows int, row func(args []any, i int) []any, scan func(*sql.Rows) error) error {
	return each(rows, func(first, n int) error {
		found, err := q.QueryContext(ctx, s.texts.get(s.c.Dialect, b, n), b.args(first, n, row, nil)...)
		if err != nil {
			return err
		}
		return scanEach(found, scan)
	})
}

func (b *bulk) args(first, n int, row func(args []any, i int) []any, fixed []any) []any {
	args := append(make([]any, 0, b.fixed+n*len(b.columns)), fixed...)
	for i := first; i < first+n; i++ {
		args = row(args, i)
	}
	return args
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
	for name, b := range map[string]*bulk{"lookup": &lookup, "recordIntent": &recordIntent, "recordIssued": &recordIssued, "withdraw": &withdraw,
		"recordsBySerial": &recordsBySerial} {
		all[name] = BulkText{b.text(d, rows), b.fixed + rows*len(b.columns)}
	}
	return all
}
