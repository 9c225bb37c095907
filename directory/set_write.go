package directory

import (
	"context"
	"crypto"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"
	"github.com/terrace-pki/terrace/internal/pki"
)

// SetWriter writes a signed set. A set without the line that Close writes is
// refused by ReadSet, so that a torn file does no harm.
type SetWriter struct {
	out    io.Writer
	ldif   *ldifWriter
	sum    hash.Hash
	signer crypto.MessageSigner
}

// NewSetWriter writes the head.
func NewSetWriter(w io.Writer, h SetHeader, signer crypto.MessageSigner) (*SetWriter, error) {
	if err := h.check(); err != nil {
		return nil, fmt.Errorf("write directory set: %w", err)
	}
	if _, err := pki.SignerPublicKey(signer); err != nil {
		return nil, fmt.Errorf("write directory set: %w", err)
	}
	s := &SetWriter{out: w, sum: sm3.New(), signer: signer}
	s.ldif = newLDIFWriter(io.MultiWriter(w, s.sum))
	for _, line := range h.lines() {
		s.ldif.write([]byte(line + "\n"))
	}
	s.ldif.line("version", "1")
	s.ldif.end()
	return s, s.ldif.err
}

// Add writes the record of one want: its entry, or a deletion.
func (s *SetWriter) Add(w Want) error {
	var err error
	if w.Entry == nil {
		err = s.ldif.entry(Entry{DN: w.DN}, "delete")
	} else {
		err = s.ldif.entry(*w.Entry, "add")
	}
	if err != nil {
		return fmt.Errorf("write directory set: %w", err)
	}
	return nil
}

// Close signs. It does not close the writer.
func (s *SetWriter) Close() error {
	if err := s.close(); err != nil {
		return fmt.Errorf("sign directory set: %w", err)
	}
	return nil
}

func (s *SetWriter) close() error {
	if err := s.ldif.flush(); err != nil {
		return err
	}
	pub, err := pki.SignerPublicKey(s.signer)
	if err != nil {
		return err
	}
	message := setMessage(s.sum)
	sig, err := s.signer.SignMessage(rand.Reader, message, sm2.DefaultSM2SignerOpts)
	if err != nil {
		return err
	}
	if !pki.VerifySignature(pub, message, sig) {
		return errors.New("the signature does not verify under the signer's public key")
	}
	_, err = fmt.Fprintf(s.out, "%s%s\n", signaturePrefix, base64.StdEncoding.EncodeToString(sig))
	return err
}

func setMessage(sum hash.Hash) []byte { return sum.Sum([]byte(setVersion)) }

// Export writes what was changed on the master after a cursor as a signed set,
// and returns the cursor for the next one and the number of records. An empty
// cursor, with h.From 0, gives a complete set. Entries are in their present
// state, so that a set that is written again after a crash does no harm. A master
// without its base entry is not exported (ErrNoBase), nor one that is being filled
// as a complete set (ErrFilling).
func Export(ctx context.Context, w io.Writer, h SetHeader, signer crypto.MessageSigner, master Server, after Cursor) (Cursor, int64, error) {
	if (after == "") != (h.From == 0) {
		return "", 0, errors.New("export directory: a complete set, and it alone, begins at 0 and without a cursor")
	}
	set, err := NewSetWriter(w, h, signer)
	if err != nil {
		return "", 0, err
	}
	var n int64
	add := func(want Want) error {
		n++
		return set.Add(want)
	}
	var next Cursor
	if after == "" {
		next, err = exportAll(ctx, h.Base, master, add)
	} else {
		next, err = exportChanges(ctx, h.Base, master, after, add)
	}
	if err != nil {
		return "", n, fmt.Errorf("export directory: %w", err)
	}
	return next, n, set.Close()
}

func exportAll(ctx context.Context, base string, master Server, add func(Want) error) (Cursor, error) {
	// The cursor first: what changes meanwhile is then in the next set too.
	log, err := master.Changes(ctx, "", 1)
	if err != nil {
		return "", err
	}
	filling := func() error {
		return fmt.Errorf("%w; what a complete set lacks is removed from slaves: export again when terrace ca has compared it", ErrFilling)
	}
	before, err := readMark(ctx, master, base)
	if err != nil {
		return "", err
	}
	if before == "" {
		return "", filling()
	}
	err = withBase(base, walkOf(master, base))(ctx, func(e Entry) error { return add(Want{DN: e.DN, Entry: &e}) })
	if err != nil {
		return "", err
	}
	after, err := readMark(ctx, master, base)
	if err == nil && before != after {
		err = filling()
	}
	return log.Next, err
}

func exportChanges(ctx context.Context, base string, master Server, after Cursor, add func(Want) error) (Cursor, error) {
	root, err := parseDN(base)
	if err != nil {
		return "", err
	}
	for {
		log, err := master.Changes(ctx, after, maxPage)
		if err != nil {
			return "", err
		}
		within := slices.DeleteFunc(log.DNs, func(name string) bool {
			d, err := parseDN(name)
			return err != nil || !d.within(root)
		})
		for dns := range slices.Chunk(within, chunk) {
			entries, err := master.Get(ctx, dns)
			if err == nil && slices.Contains(entries, nil) {
				_, err = readMark(ctx, master, base)
			}
			if err != nil {
				return "", err
			}
			for i, e := range entries {
				if err := add(Want{DN: dns[i], Entry: e}); err != nil {
					return "", err
				}
			}
		}
		if after = log.Next; !log.More {
			return after, nil
		}
	}
}
