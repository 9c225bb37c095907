package pushing

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/terrace-pki/terrace/directory"
	"github.com/terrace-pki/terrace/internal/atomicfile"
)

// MaxImport bounds the files of one Import.
const MaxImport = 1000

// ExportConfig of a signed set of changes for a gap that lets data through one way.
type ExportConfig struct {
	Master directory.Server // with its log of changes
	Signer crypto.MessageSigner
	// Directory is "namespace/name", Base its base DN.
	Directory, Base string
	// StateFile remembers what was exported last; Dir is where sets are put.
	StateFile, Dir string
	// Complete makes a complete set in any case.
	Complete bool
	Now      func() time.Time
}

// exportState is durable before its set gets its name: a set of a number is
// never made twice with other content, which importers would refuse.
type exportState struct {
	Number uint64           `json:"number"`
	Cursor directory.Cursor `json:"cursor"`
	// File of the last set, which may still have its temporary name.
	File string `json:"file"`
}

// Export writes the next set and returns its path and number of records; an
// empty path says that nothing changed. The first set is complete, and so is one
// for which the master's log no longer reaches back.
func Export(ctx context.Context, c ExportConfig) (path string, records int64, err error) {
	var s exportState
	if err := readJSON(c.StateFile, &s); err != nil {
		return "", 0, fmt.Errorf("export directory: %w", err)
	}
	if s.File != "" { // the process died before the set got its name
		if err := os.Rename(partial(c.Dir, s.File), filepath.Join(c.Dir, s.File)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", 0, fmt.Errorf("export directory: %w", err)
		}
	}
	h := directory.SetHeader{Directory: c.Directory, Base: c.Base, From: s.Number, Created: c.Now()}
	// The clock keeps numbers rising when the state file was lost.
	h.To = max(s.Number+1, uint64(max(1, c.Now().Unix())))
	after := s.Cursor
	if c.Complete || after == "" {
		h.From, after = 0, ""
	}
	path, records, err = writeSet(ctx, c, h, after)
	if errors.Is(err, directory.ErrCursorLost) {
		h.From = 0
		path, records, err = writeSet(ctx, c, h, "")
	}
	return path, records, err
}

func partial(dir, name string) string { return filepath.Join(dir, "."+name+".partial") }

func writeSet(ctx context.Context, c ExportConfig, h directory.SetHeader, after directory.Cursor) (path string, records int64, err error) {
	name := fmt.Sprintf("%s_%020d.ldif", fileName(c.Directory), h.To)
	f, err := os.OpenFile(partial(c.Dir, name), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return "", 0, fmt.Errorf("export directory: %w", err)
	}
	next, records, err := directory.Export(ctx, f, h, c.Signer, c.Master, after)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil || (records == 0 && h.From != 0) {
		return "", 0, errors.Join(err, os.Remove(f.Name()))
	}
	b, err := json.Marshal(exportState{Number: h.To, Cursor: next, File: name})
	if err != nil {
		return "", 0, fmt.Errorf("export directory: %w", err)
	}
	if err := atomicfile.Write(c.StateFile, b, 0o600); err != nil {
		return "", 0, fmt.Errorf("export directory: %w", err)
	}
	// Die here: the next export gives the set its name.
	path = filepath.Join(c.Dir, name)
	if err := os.Rename(f.Name(), path); err != nil {
		return "", 0, fmt.Errorf("export directory: %w", err)
	}
	return path, records, nil
}

// ImportConfig of sets into a slave.
type ImportConfig struct {
	Slave directory.Server
	// Key is the exporter's.
	Key       *ecdsa.PublicKey
	Directory string
	// StateFile remembers what was imported last.
	StateFile string
}

type importState struct {
	To     uint64 `json:"to"`
	Digest []byte `json:"digest"`
}

// Import verifies sets, and applies those that the slave does not have, by
// their numbers. It returns the number of sets applied and of entries changed.
// Sets before the mark are passed over; a gap is directory.ErrGap.
func Import(ctx context.Context, c ImportConfig, paths []string) (sets int, entries int64, err error) {
	if len(paths) > MaxImport {
		return 0, 0, fmt.Errorf("import directory: %d files, at most %d at a time", len(paths), MaxImport)
	}
	var state importState
	if err := readJSON(c.StateFile, &state); err != nil {
		return 0, 0, fmt.Errorf("import directory: %w", err)
	}
	mark := directory.Mark{To: state.To}
	copy(mark.Digest[:], state.Digest)
	// Names hold the number in twenty digits, so this is the order of numbers.
	paths = slices.SortedFunc(slices.Values(paths), func(a, b string) int { return strings.Compare(filepath.Base(a), filepath.Base(b)) })
	for _, path := range paths {
		next, n, err := importFile(ctx, c, path, mark)
		entries += n
		if err != nil {
			return sets, entries, fmt.Errorf("%s: %w", path, err)
		}
		if next == mark {
			continue
		}
		b, err := json.Marshal(importState{To: next.To, Digest: next.Digest[:]})
		if err != nil {
			return sets, entries, fmt.Errorf("import directory: %w", err)
		}
		// Die before this: the set is applied again, which writes nothing.
		if err := atomicfile.Write(c.StateFile, b, 0o600); err != nil {
			return sets, entries, fmt.Errorf("import directory: %w", err)
		}
		mark = next
		sets++
	}
	return sets, entries, nil
}

func importFile(ctx context.Context, c ImportConfig, path string, last directory.Mark) (directory.Mark, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return last, 0, err
	}
	defer f.Close()
	set, err := directory.ReadSet(f, c.Key)
	if err != nil {
		return last, 0, err
	}
	if set.Header.Directory == c.Directory && set.Header.To < last.To {
		return last, 0, nil // one that was applied before, left in the folder
	}
	return set.Import(ctx, c.Slave, c.Directory, last)
}

// Load writes what a server holds as LDIF that slapadd takes: parents first,
// for which the tree is read once for each of its three levels.
func Load(server directory.Server, base string) directory.Listing {
	root := directory.Change{DN: base}.Depth()
	return func(ctx context.Context, yield func(directory.Entry) error) error {
		for level := range 3 {
			err := server.Walk(ctx, base, func(e directory.Entry) error {
				if depth := (directory.Change{DN: e.DN}).Depth() - root; min(depth, 2) != level {
					return nil
				}
				return yield(e)
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
}

// readJSON leaves v alone when there is no file.
func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("state %s: %w; remove it to begin with a complete set", path, err)
	}
	return nil
}
