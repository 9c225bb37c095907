package recovery

import (
	"bufio"
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/terrace-pki/terrace/directory"
)

const (
	// maxPEM bounds one block, maxList a file of one list, in bytes.
	maxPEM  = 128 << 10
	maxList = 64 << 20
)

// Certificates is a file of PEM certificates. Text between them is left out of account.
type Certificates struct{ Path string }

// Name implements Source.
func (s Certificates) Name() string { return "certificates " + s.Path }

// Read implements Source.
func (s Certificates) Read(_ context.Context, yield func(Evidence) error) error {
	return read(s.Path, func(f io.Reader) error { return readPEM(f, yield) })
}

func read(path string, do func(io.Reader) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(do(f), f.Close())
}

// readPEM keeps no more than one block.
func readPEM(in io.Reader, yield func(Evidence) error) error {
	const begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
	var block bytes.Buffer
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 4096), maxPEM)
	inside, n := false, 0
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if n++; !inside && line != begin {
			continue
		}
		inside = true
		if block.WriteString(line + "\n"); block.Len() > maxPEM {
			return fmt.Errorf("line %d: certificate of more than %d bytes", n, maxPEM)
		}
		if line != end {
			continue
		}
		one, _ := pem.Decode(block.Bytes())
		if one == nil {
			return fmt.Errorf("line %d: ends no PEM block", n)
		}
		if err := yield(Evidence{Certificate: one.Bytes}); err != nil {
			return err
		}
		inside = false
		block.Reset()
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("line %d: %w", n+1, err)
	}
	if inside {
		return fmt.Errorf("line %d: the file ends within a certificate", n)
	}
	return nil
}

// List is a file of one CRL, DER or PEM.
type List struct{ Path string }

// Name implements Source.
func (s List) Name() string { return "CRL " + s.Path }

// Read implements Source.
func (s List) Read(_ context.Context, yield func(Evidence) error) error {
	return read(s.Path, func(f io.Reader) error {
		b, err := io.ReadAll(io.LimitReader(f, 2*maxList+1))
		if err != nil {
			return err
		}
		if block, _ := pem.Decode(b); block != nil && block.Type == "X509 CRL" {
			b = block.Bytes
		}
		if len(b) > maxList {
			return fmt.Errorf("CRL of more than %d bytes", maxList)
		}
		return yield(Evidence{CRL: b})
	})
}

// LDIF is a file of a directory's entries, as terrace directory load writes it.
type LDIF struct{ Path string }

// Name implements Source.
func (s LDIF) Name() string { return "LDIF " + s.Path }

// Read implements Source.
func (s LDIF) Read(_ context.Context, yield func(Evidence) error) error {
	return read(s.Path, func(f io.Reader) error {
		return directory.ReadLDIF(f, func(e directory.Entry) error { return entry(e, yield) })
	})
}

// Directory is a directory server.
type Directory struct {
	Server directory.Server
	// URL for people, Base the entry below which everything is read.
	URL, Base string
}

// Name implements Source.
func (s Directory) Name() string { return "directory " + s.URL }

// Read implements Source. A base that is not there is an error: an account that may not read finds nothing.
func (s Directory) Read(ctx context.Context, yield func(Evidence) error) error {
	n := 0
	err := s.Server.Walk(ctx, s.Base, func(e directory.Entry) error {
		n++
		return entry(e, yield)
	})
	if err == nil && n == 0 {
		err = fmt.Errorf("%s: %w", s.Base, directory.ErrNoBase)
	}
	return err
}

// entry yields what an entry holds: certificates, CA certificates, lists.
func entry(e directory.Entry, yield func(Evidence) error) error {
	for _, a := range e.Attributes {
		name, _, _ := strings.Cut(strings.ToLower(a.Type), ";")
		for _, v := range a.Values {
			var evidence Evidence
			switch name {
			case "usercertificate", "cacertificate":
				evidence.Certificate = v
			case "certificaterevocationlist", "authorityrevocationlist":
				evidence.CRL = v
			default:
				continue
			}
			if err := yield(evidence); err != nil {
				return err
			}
		}
	}
	return nil
}
