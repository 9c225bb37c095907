// Package archive writes certificates that expired long ago to files that any
// tool can read in decades, PEM, and has the ledger drop their content.
//
// A file begins with a line that says what it is. Before each certificate a line
// has its serial, issuer, identity and the SM3 of its DER; the last line has the SM3 of
// all lines before it and the number of certificates.
package archive

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/emmansun/gmsm/sm3"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

const (
	// LeastAge is the least time after a certificate's end at which its content
	// may go: a year.
	LeastAge = 365 * 24 * time.Hour
	// Most is how many certificates one file holds, about a gigabyte.
	Most = 1_000_000

	first = "Terrace archive 1: certificates that expired before "
	last  = "SM3 of all above: "
)

// Written is what a file holds.
type Written struct {
	Rows []int64 // in the ledger
	// Digest is the SM3 of the file without its last line.
	Digest []byte
	// More: further certificates are to be archived.
	More bool
}

// Write writes at most most certificates that expired before before. It changes nothing in the ledger.
func Write(ctx context.Context, ledger authority.Archiver, before time.Time, most int, w io.Writer) (Written, error) {
	var out Written
	sum := sm3.New()
	b := bufio.NewWriterSize(io.MultiWriter(w, sum), 1<<20)
	if _, err := fmt.Fprintf(b, "%s%s\n", first, before.UTC().Format(time.RFC3339)); err != nil {
		return out, err
	}
	for after := int64(0); ; {
		page, next, err := ledger.Expired(ctx, before, after, authority.MaxChanges)
		if err != nil {
			return out, err
		}
		if next == after {
			break
		}
		after = next
		for _, c := range page {
			if len(out.Rows) == most {
				out.More = true
				break
			}
			digest := sm3.Sum(c.Certificate)
			_, err := fmt.Fprintf(b, "\nserial %s of %s/g%d, %q, SM3 %x\n%s", c.Serial, c.Issuer.Authority, c.Issuer.Generation,
				c.Identity.Kind+"/"+c.Identity.Namespace+"/"+c.Identity.Name, digest, pki.EncodePEM("CERTIFICATE", c.Certificate))
			if err != nil {
				return out, err
			}
			out.Rows = append(out.Rows, c.Row)
		}
		if out.More {
			break
		}
	}
	if err := b.Flush(); err != nil {
		return out, err
	}
	out.Digest = sum.Sum(nil)
	_, err := fmt.Fprintf(w, "%s%x; certificates: %d\n", last, out.Digest, len(out.Rows))
	return out, err
}

// Verify reads a whole file and returns its digest and number of certificates.
func Verify(r io.Reader) (digest []byte, certificates int, err error) {
	in := bufio.NewReaderSize(r, 1<<20)
	sum := sm3.New()
	for n := 1; ; n++ {
		line, err := in.ReadString('\n')
		if err != nil || len(line) > 4096 {
			return nil, 0, fmt.Errorf("line %d: the file is cut off, or no archive", n)
		}
		switch {
		case n == 1 && !strings.HasPrefix(line, first):
			return nil, 0, errors.New("line 1: no archive")
		case strings.HasPrefix(line, last):
			digest := sum.Sum(nil)
			if want := fmt.Sprintf("%s%s; certificates: %d\n", last, hex.EncodeToString(digest), certificates); line != want {
				return nil, 0, fmt.Errorf("line %d: the SM3 or the number of certificates does not fit", n)
			}
			if rest, err := io.ReadAll(io.LimitReader(in, 1)); err != nil || len(rest) > 0 {
				return nil, 0, fmt.Errorf("line %d: something follows the last line", n)
			}
			return digest, certificates, nil
		case line == "-----BEGIN CERTIFICATE-----\n":
			certificates++
		}
		sum.Write([]byte(line))
	}
}

// Drop has the ledger note the file name and drop the content of what was written. Die
// in it, and what remains is archived again by the next run.
func Drop(ctx context.Context, ledger authority.Archiver, before time.Time, name string, w Written) (dropped int64, err error) {
	err = ledger.NoteArchive(ctx, map[string]string{"file": name, "sm3": hex.EncodeToString(w.Digest),
		"certificates": fmt.Sprint(len(w.Rows)), "expiredBefore": before.UTC().Format(time.RFC3339)})
	if err != nil {
		return 0, err
	}
	for rows := w.Rows; len(rows) > 0; {
		n := min(len(rows), authority.MaxChanges)
		done, err := ledger.DropContent(ctx, before, rows[:n])
		if err != nil {
			return dropped, err
		}
		dropped, rows = dropped+done, rows[n:]
	}
	return dropped, nil
}
