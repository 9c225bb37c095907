package sqlstore

import (
	"context"
	"database/sql"
	"strings"

	"github.com/terrace-pki/terrace/internal/authority"
)

var _ authority.Durable = (*Store)(nil)

// Commits returns how many transactions this process has made durable.
func (s *Store) Commits() int64 { return s.commits.Load() }

// Durability names the settings of the connection that writes; see [authority.Durable].
func (s *Store) Durability(ctx context.Context) (string, error) {
	const operation = "read durability"
	rows, err := s.c.Writer.QueryContext(ctx, s.c.Dialect.Durability)
	if err != nil {
		return "", s.failed(operation, err)
	}
	settings, err := scanAll(rows, func(rows *sql.Rows) (string, error) {
		var name, value string
		err := rows.Scan(&name, &value)
		return name + "=" + value, err
	})
	return strings.Join(settings, ", "), s.failed(operation, err)
}
