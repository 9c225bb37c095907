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

// logPage is how many records are in memory while the log is read through.
const logPage = 1000

// Changes reads slapd's log (slapo-accesslog). A cursor is the entryCSN of a
// record: under the overlay's lock, records are written in the order of their
// CSNs, so that none appears later before a cursor. The cursor's own record must
// be there, or the log was purged past it; it comes first, unless the master's
// clock was set back, after which the log is read on to it. What is changed from
// then until the clock is where it was has CSNs before a cursor that was taken
// before: only a comparison finds it, which is why a pusher makes one for each
// new connection.
func (s *Server) Changes(ctx context.Context, after directory.Cursor, limit int) (directory.Log, error) {
	if s.config.LogBase == "" {
		return directory.Log{}, fmt.Errorf("LDAP server %s: %w", s.config.Address, directory.ErrNoLog)
	}
	conn, err := s.connection(ctx)
	if err != nil {
		return directory.Log{}, err
	}
	if after == "" {
		next, err := s.newest(ctx)
		return directory.Log{Next: next}, err
	}
	if strings.Trim(string(after), "0123456789abcdefABCDEF.Z#") != "" || len(after) > 64 {
		return directory.Log{}, fmt.Errorf("LDAP server %s: cursor %.64q: %w", s.config.Address, after, directory.ErrCursorLost)
	}
	limit = max(1, limit)
	// One more for the cursor's record, one more to see whether there is more.
	records, err := s.records(ctx, conn, string(after), limit+2)
	if err != nil {
		return directory.Log{}, err
	}
	switch {
	case len(records) > 0 && records[0].GetAttributeValue("entryCSN") == string(after):
		records = records[1:]
	case after == emptyLog && len(records) == 0:
		return directory.Log{Next: after}, nil
	case after == emptyLog:
		return directory.Log{}, s.cursorLost()
	default:
		if records, err = s.recordsBehind(ctx, string(after), limit+1); err != nil {
			return directory.Log{}, err
		}
	}
	more := len(records) > limit
	if more {
		records = records[:limit]
	}
	return logOf(records, after, more), nil
}

func (s *Server) cursorLost() error {
	return fmt.Errorf("LDAP server %s: log %s: %w", s.config.Address, s.config.LogBase, directory.ErrCursorLost)
}

// newest finds the record that was written last, or says that there is none. All
// of the log is read through: the last by CSN is another after the clock was set back.
func (s *Server) newest(ctx context.Context) (directory.Cursor, error) {
	last := emptyLog
	err := s.throughLog(ctx, logFilter(string(emptyLog)), []string{"entryCSN"}, func(r *ldap.Entry) bool {
		last = directory.Cursor(r.GetAttributeValue("entryCSN"))
		return true
	})
	return last, err
}

// recordsBehind returns those that were written after the one with a CSN, at most limit.
func (s *Server) recordsBehind(ctx context.Context, csn string, limit int) ([]*ldap.Entry, error) {
	found := false
	var records []*ldap.Entry
	err := s.throughLog(ctx, logFilter(csn), recordAttributes, func(r *ldap.Entry) bool {
		if found {
			records = append(records, r)
		}
		found = found || r.GetAttributeValue("entryCSN") == csn
		return len(records) < limit
	})
	if err == nil && !found {
		err = s.cursorLost()
	}
	return records, err
}

// throughLog gives yield the records that match, in the order in which they were
// written, until it returns false. It has a connection of its own, as Walk has.
func (s *Server) throughLog(ctx context.Context, filter string, attributes []string, yield func(*ldap.Entry) bool) error {
	conn, err := s.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	paging := ldap.NewControlPaging(logPage)
	for {
		result, err := s.search(ctx, conn, ldap.NewSearchRequest(s.config.LogBase, ldap.ScopeSingleLevel, ldap.NeverDerefAliases,
			0, 0, false, filter, attributes, []ldap.Control{paging}))
		if err != nil {
			return s.logError(err)
		}
		for _, r := range result.Entries {
			if !yield(r) {
				return nil
			}
		}
		next, ok := ldap.FindControl(result.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
		if !ok {
			return fmt.Errorf("LDAP server %s: read log %s: the server does not page (RFC 2696)", s.config.Address, s.config.LogBase)
		}
		if len(next.Cookie) == 0 {
			return nil
		}
		paging.SetCookie(next.Cookie)
	}
}

// recordAttributes are those that logOf and cursors need.
var recordAttributes = []string{"entryCSN", "reqStart", "reqDN", "reqType", "reqNewRDN", "reqNewSuperior"}

func logFilter(from string) string {
	return "(&(objectClass=auditWriteObject)(reqResult=0)(entryCSN>=" + from + "))"
}

func (s *Server) logError(err error) error {
	if ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject) {
		return fmt.Errorf("LDAP server %s: log %s is not there, or not for this account: %w", s.config.Address, s.config.LogBase, directory.ErrNoLog)
	}
	return s.wrap("read log "+s.config.LogBase, err)
}

// records returns those from a CSN on in the order in which they were written,
// which is that of back-mdb's answers; at most limit.
func (s *Server) records(ctx context.Context, conn *ldap.Conn, from string, limit int) ([]*ldap.Entry, error) {
	result, err := s.search(ctx, conn, ldap.NewSearchRequest(s.config.LogBase, ldap.ScopeSingleLevel, ldap.NeverDerefAliases,
		limit, 0, false, logFilter(from), recordAttributes, nil))
	if err != nil && (result == nil || !ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded)) {
		return nil, s.logError(err)
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
