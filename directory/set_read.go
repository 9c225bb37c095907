package directory

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"encoding/base64"
	"errors"
	"fmt"
	"io"

	"github.com/emmansun/gmsm/sm3"
	"github.com/terrace-pki/terrace/internal/pki"
)

const signaturePrefix = "# signature: "

// maxSignatureLine holds LF and a DER SM2 signature of at most 72 bytes in Base64.
const maxSignatureLine = 1 + len(signaturePrefix) + 96 + 1

// Errors of an import that are not the file's fault.
var (
	// ErrGap: a set before this one is missing.
	ErrGap = errors.New("a set before this one is missing")
	// ErrReplay: this set, or a later one, was applied already and was another.
	ErrReplay = errors.New("an older or another set of these numbers; it is refused")
)

// Set is a signed set whose signature and syntax were verified.
type Set struct {
	Header SetHeader
	// Digest is SM3 over the signed bytes.
	Digest [32]byte

	file io.ReadSeeker
	size int64 // of the signed bytes
}

// Mark says how far sets were applied to a server. The caller keeps it
// durably; the zero Mark is a server that took none.
type Mark struct {
	To     uint64
	Digest [32]byte
}

// ReadSet verifies a set under the public key of the exporter, and reads it as a
// whole once, so that a malformed one changes nothing. The file must not change
// until it was applied.
func ReadSet(file io.ReadSeeker, key *ecdsa.PublicKey) (*Set, error) {
	s, err := readSet(file, key)
	if err != nil {
		return nil, fmt.Errorf("read directory set: %w", err)
	}
	return s, nil
}

func readSet(file io.ReadSeeker, key *ecdsa.PublicKey) (*Set, error) {
	total, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	if total > MaxSet {
		return nil, fmt.Errorf("has %d bytes, at most %d are allowed", total, int64(MaxSet))
	}
	tail := make([]byte, min(total, int64(maxSignatureLine)))
	if _, err := file.Seek(-int64(len(tail)), io.SeekEnd); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(file, tail); err != nil {
		return nil, err
	}
	at := bytes.LastIndex(tail, []byte("\n"+signaturePrefix))
	if at < 0 || !bytes.HasSuffix(tail, []byte{'\n'}) {
		return nil, errors.New("has no signature line at its end; the file may be torn")
	}
	line := tail[at+1+len(signaturePrefix) : len(tail)-1]
	sig, err := base64.StdEncoding.Strict().DecodeString(string(line))
	if err != nil || bytes.ContainsAny(line, "\r\n") {
		return nil, errors.New("signature: is not one line of Base64")
	}
	s := &Set{file: file, size: total - int64(len(tail)) + int64(at) + 1}
	sum := sm3.New()
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	if _, err := io.CopyN(sum, file, s.size); err != nil {
		return nil, err
	}
	if key == nil || !pki.VerifySignature(key, setMessage(sum), sig) {
		return nil, errors.New("signature: does not verify; the file was changed, or signed with another key than that of this directory")
	}
	sum.Sum(s.Digest[:0])
	if err := s.readHeader(); err != nil {
		return nil, err
	}
	err = s.each(context.Background(), func(Want) error { return nil })
	return s, err
}

func (s *Set) readHeader() error {
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	in := bufio.NewReader(io.LimitReader(s.file, min(s.size, 4096)))
	var lines []string
	for range 6 {
		line, err := in.ReadString('\n')
		if err != nil {
			return errors.New("head: ends early")
		}
		lines = append(lines, line[:len(line)-1])
	}
	var err error
	s.Header, err = parseSetHeader(lines)
	return err
}

// each calls yield for each record and fails when the bytes are no longer those
// that were verified.
func (s *Set) each(ctx context.Context, yield func(Want) error) error {
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	base, err := parseDN(s.Header.Base)
	if err != nil {
		return err
	}
	sum := sm3.New()
	in := newLDIFReader(io.TeeReader(io.LimitReader(s.file, s.size), sum))
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		e, deleted, err := in.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if d, err := parseDN(e.DN); err != nil || !d.within(base) {
			return fmt.Errorf("record %.200q: stands outside the base %q", e.DN, s.Header.Base)
		}
		w := Want{DN: e.DN, Entry: &e}
		if deleted {
			if w.Entry = nil; s.Header.From == 0 {
				return errors.New("a complete set has a deletion")
			}
		}
		if err := yield(w); err != nil {
			return err
		}
	}
	if !bytes.Equal(sum.Sum(nil), s.Digest[:]) {
		return errors.New("the file changed while it was read")
	}
	return nil
}

// Import brings a server to the state of a set of the named directory, and
// returns the new mark, to be saved, and the number of changes. The set that
// was applied last does nothing; an older one is ErrReplay; one that does not
// follow last is ErrGap, unless it is complete. If we die before the mark is
// saved, the same set is applied again, which writes nothing.
func (s *Set) Import(ctx context.Context, server Server, directory string, last Mark) (Mark, int64, error) {
	mark, n, err := s.apply(ctx, server, directory, last)
	if err != nil {
		return last, n, fmt.Errorf("import directory set %d to %d: %w", s.Header.From, s.Header.To, err)
	}
	return mark, n, nil
}

func (s *Set) apply(ctx context.Context, server Server, directory string, last Mark) (Mark, int64, error) {
	h := s.Header
	mark := Mark{To: h.To, Digest: s.Digest}
	switch {
	case h.Directory != directory:
		return last, 0, fmt.Errorf("is for the directory %q", h.Directory)
	case mark == last:
		return last, 0, nil
	case h.To <= last.To:
		return last, 0, fmt.Errorf("%w: set %d was applied", ErrReplay, last.To)
	case h.From != 0 && h.From != last.To:
		return last, 0, fmt.Errorf("%w: it begins at %d, and %d was applied last", ErrGap, h.From, last.To)
	}
	var n int64
	write := func(wants []Want) error {
		wants = lastWants(wants)
		have, err := server.Get(ctx, wantDNs(wants))
		if err != nil {
			return err
		}
		changes := Plan(wants, have)
		n += int64(len(changes))
		return applySkippingParents(ctx, server, changes)
	}
	if h.From == 0 {
		err := s.applyComplete(ctx, server, write)
		return mark, n, err
	}
	var batch []Want
	err := s.each(ctx, func(w Want) error {
		if batch = append(batch, w); len(batch) < chunk {
			return nil
		}
		part := batch
		batch = nil
		return write(part)
	})
	if err == nil && len(batch) > 0 {
		err = write(batch)
	}
	return mark, n, err
}

// applyComplete compares, so that only what differs is written and what the set
// does not name goes.
func (s *Set) applyComplete(ctx context.Context, server Server, write func([]Want) error) error {
	want := func(ctx context.Context, yield func(Entry) error) error {
		return s.each(ctx, func(w Want) error { return yield(*w.Entry) })
	}
	have := func(ctx context.Context, yield func(Entry) error) error {
		return server.Walk(ctx, s.Header.Base, yield)
	}
	return Compare(ctx, withBase(s.Header.Base, want), have, func(part []Difference) error {
		return wantsOf(ctx, part, want, write)
	})
}
