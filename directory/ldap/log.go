package ldap

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/terrace-pki/terrace/directory"
)

// emptyLog is the cursor of a log in which nothing was ever written.
const emptyLog = directory.Cursor("00000101000000.000000Z#000000#000#000000")

// windows are how far back the newest record is looked for before all of the log is.
var windows = []time.Duration{10 * time.Minute, 24 * time.Hour}

// Changes reads slapd's log (slapo-accesslog). A cursor is the entryCSN of a
// record: under the overlay's lock, records are written in the order of their
// CSNs, so that none appears later before a cursor. The first record that is
// read must be the cursor's own, or the log was purged past it.
func (s *Server) Changes(ctx context.Context, after directory.Cursor, limit int) (directory.Log, error) {
	if s.config.LogBase == "" {
		return directory.Log{}, fmt.Errorf("LDAP server %s: %w", s.config.Address, directory.ErrNoLog)
	}
	conn, err := s.connection(ctx)
	if err != nil {
		return directory.Log{}, err
	}
	if after == "" {
		next, err := s.newest(ctx, conn)
		return directory.Log{Next: next}, err
	}
	if strings.Trim(string(after), "0123456789abcdefABCDEF.Z#") != "" || len(after) > 64 {
		return directory.Log{}, fmt.Errorf("LDAP server %s: cursor %.64q: %w", s.config.Address, after, directory.ErrCursorLost)
	}
	limit = max(1, limit)
	// One more for the cursor's record, one more to see whether there is more.
	records, err := s.records(ctx, conn, string(after), limit+2, "entryCSN", "reqStart", "reqDN", "reqType", "reqNewRDN", "reqNewSuperior")
	if err != nil {
		return directory.Log{}, err
	}
	switch {
	case len(records) > 0 && records[0].GetAttributeValue("entryCSN") == string(after):
		records = records[1:]
	case after == emptyLog && len(records) == 0:
		return directory.Log{Next: after}, nil
	default:
		return directory.Log{}, fmt.Errorf("LDAP server %s: log %s: %w", s.config.Address, s.config.LogBase, directory.ErrCursorLost)
	}
	more := len(records) > limit
	if more {
		records = records[:limit]
	}
	return logOf(records, after, more), nil
}

// newest finds the last record, or says that there is none.
func (s *Server) newest(ctx context.Context, conn *ldap.Conn) (directory.Cursor, error) {
	from := []string{}
	for _, w := range windows {
		from = append(from, time.Now().UTC().Add(-w).Format("20060102150405.000000Z")+"#000000#000#000000")
	}
	for _, f := range append(from, string(emptyLog)) {
		records, err := s.records(ctx, conn, f, 0, "entryCSN")
		if err != nil {
			return "", err
		}
		if n := len(records); n > 0 {
			return directory.Cursor(records[n-1].GetAttributeValue("entryCSN")), nil
		}
	}
	return emptyLog, nil
}

// records returns those from a CSN on in the order in which they were written,
// which is that of back-mdb's answers; at most limit, 0 for all.
func (s *Server) records(ctx context.Context, conn *ldap.Conn, from string, limit int, attributes ...string) ([]*ldap.Entry, error) {
	filter := "(&(objectClass=auditWriteObject)(reqResult=0)(entryCSN>=" + from + "))"
	result, err := s.search(ctx, conn, ldap.NewSearchRequest(s.config.LogBase, ldap.ScopeSingleLevel, ldap.NeverDerefAliases,
		limit, 0, false, filter, attributes, nil))
	switch {
	case err == nil:
	case limit > 0 && result != nil && ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded):
	case ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject):
		return nil, fmt.Errorf("LDAP server %s: log %s is not there, or not for this account: %w", s.config.Address, s.config.LogBase, directory.ErrNoLog)
	default:
		return nil, s.wrap("read log "+s.config.LogBase, err)
	}
	return result.Entries, nil
}

func logOf(records []*ldap.Entry, after directory.Cursor, more bool) directory.Log {
	log := directory.Log{Next: after, More: more}
	seen := map[string]bool{}
	add := func(name string) {
		if !seen[name] {
			seen[name] = true
			log.DNs = append(log.DNs, name)
		}
	}
	for i, r := range records {
		if i == 0 {
			// reqStart is a generalized time with a fraction of 6 digits.
			if t, err := time.Parse("20060102150405.000000Z", r.GetAttributeValue("reqStart")); err == nil {
				log.Oldest = t
			}
		}
		name := r.GetAttributeValue("reqDN")
		add(name)
		if rdn := r.GetAttributeValue("reqNewRDN"); rdn != "" { // a rename
			parent := r.GetAttributeValue("reqNewSuperior")
			if parent == "" {
				parent = parentOf(name)
			}
			add(rdn + "," + parent)
		}
		log.Next = directory.Cursor(r.GetAttributeValue("entryCSN"))
	}
	return log
}

// parentOf cuts at the first comma that is not escaped.
func parentOf(name string) string {
	for i := 0; i < len(name); i++ {
		switch name[i] {
		case '\\':
			i++
		case ',':
			return name[i+1:]
		}
	}
	return ""
}
