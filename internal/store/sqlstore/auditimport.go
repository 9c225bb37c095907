package sqlstore

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/terrace-pki/terrace/internal/audit"
	"github.com/terrace-pki/terrace/internal/pki"
)

// left is what the last leaf about a serial left of its revocation.
type left struct {
	reason string
	at     int64 // in microseconds
}

// importedRevocation sees that what a reconciliation revoked is revoked; Rest
// sees how. What was never issued was abandoned by the ledger that was lost.
func (c *checker) importedRevocation(ctx context.Context, l audit.Leaf, d audit.Detail) ([]audit.Finding, error) {
	at, err := time.Parse(time.RFC3339Nano, d["at"])
	if err != nil {
		return []audit.Finding{audit.About(l, "names no time")}, nil
	}
	c.imported[l.Subject] = left{d["reason"], at.UnixMicro()}
	var issued, revoked bool
	err = c.n.tx.QueryRowContext(ctx, `SELECT t.serial_id IS NOT NULL, r.serial_id IS NOT NULL FROM serials s
		LEFT JOIN issued t ON t.serial_id = s.id LEFT JOIN revocations r ON r.serial_id = s.id WHERE s.serial = $1`,
		octets(pki.Serial(l.Subject[min(len(l.Subject), len(serialSubject(""))):]))).Scan(&issued, &revoked)
	switch {
	case notFound(err):
		return []audit.Finding{audit.About(l, "the serial's row was deleted")}, nil
	case err != nil:
		return nil, err
	case !revoked:
		return []audit.Finding{audit.About(l, "the row of the certificate's revocation was deleted")}, nil
	case !issued:
		c.abandoned++
	}
	return nil, nil
}

// archived is what leaves of archives allow, and what is gone.
type archived struct {
	read   bool
	before int64 // what expired before that may be removed, in microseconds
	// certificates that the archives have, and rows without content. A run that died is
	// repeated, so that archives may have more.
	certificates, removed int64
}

// archive counts an archive.
func (c *checker) archive(l audit.Leaf, d audit.Detail) []audit.Finding {
	n, err := strconv.ParseInt(d["certificates"], 10, 64)
	if _, ok := archivedBefore(l, d); !ok || err != nil || n < 0 {
		return []audit.Finding{audit.About(l, "names no number of certificates, or no time before it at which they had expired")}
	}
	c.archived.certificates += n
	return nil
}

func archivedBefore(l audit.Leaf, d audit.Detail) (int64, bool) {
	before, err := time.Parse(time.RFC3339, d["expiredBefore"])
	return before.UnixMicro(), err == nil && before.UnixMicro() <= l.At
}

// readArchives looks for the newest time of an archive, as its leaf comes after
// those of the certificates that it removed.
func (c *checker) readArchives(ctx context.Context) error {
	if c.archived.read {
		return nil
	}
	for after := int64(0); ; {
		page, err := leavesOf(ctx, c.n, after, actArchive)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			c.archived.read = true
			return nil
		}
		for _, l := range page {
			after = l.Seq
			if d, err := l.Parse(); err == nil { // else it is named in its turn
				if before, ok := archivedBefore(l, d); ok {
					c.archived.before = max(c.archived.before, before)
				}
			}
		}
	}
}

// removed compares how much content is gone with what archives have.
func (c *checker) removed(context.Context) ([]audit.Finding, error) {
	if c.archived.removed <= c.archived.certificates {
		return nil, nil
	}
	return []audit.Finding{{What: "expired certificates", Problem: fmt.Sprintf("%d are without content, and leaves of archives tell of %d", c.archived.removed, c.archived.certificates)}}, nil
}
