package directory

import (
	"errors"
	"io"
)

// ReadLDIF calls yield for each entry of LDIF content (RFC 2849), in bounded
// memory, and ends with the first error of yield. Deletions are refused.
func ReadLDIF(r io.Reader, yield func(Entry) error) error {
	in := newLDIFReader(r)
	for {
		e, deleted, err := in.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case deleted:
			return errors.New("LDIF: holds a deletion; want entries only")
		}
		if err := yield(e); err != nil {
			return err
		}
	}
}
