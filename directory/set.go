package directory

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// MaxSet is the largest signed set in bytes: ten million entries of 6 KiB.
const MaxSet = 64 << 30

// setVersion begins the message that is signed, so that the signature means
// nothing anywhere else.
const setVersion = "terrace-directory-set-v1\n"

// SetHeader is the head of a signed set: changes to a directory as a file, for
// a gap that only lets data through one way.
//
// A set is an LDIF file (RFC 2849), whose head and signature are comments:
//
//	# terrace-directory-set: 1
//	# directory: <name>
//	# base: <DN>
//	# from: <decimal>
//	# to: <decimal>
//	# created: <RFC 3339, UTC, seconds>
//	version: 1
//
//	dn: <DN>
//	changetype: add
//	<all attributes of the entry>
//
//	dn: <DN>
//	changetype: delete
//
//	# signature: <Base64, one line>
//
// Lines end with LF. A record "add" says that the entry is to be as it stands
// there, whether it exists or not; "delete" that there is to be none. The
// signature is the DER SM2 signature (GM/T 0009-2012 §7.3) with the default ID
// over the 57 bytes "terrace-directory-set-v1" LF || SM3(file), where file is
// every byte before the line that begins with "# signature: ".
//
// Sets are numbered: To of one is From of the next. From 0 is a complete set:
// what it does not name is removed.
type SetHeader struct {
	// Directory is the name of the directory, e.g. "namespace/name"; at most 320 bytes.
	Directory string
	// Base is the subtree that a complete set describes.
	Base     string
	From, To uint64 // From < To
	Created  time.Time
}

func (h SetHeader) check() error {
	if h.Directory == "" || len(h.Directory) > 320 || strings.ContainsFunc(h.Directory, unicode.IsControl) {
		return errors.New("directory: want 1 to 320 bytes without control characters")
	}
	if _, err := parseDN(h.Base); err != nil {
		return fmt.Errorf("base: %w", err)
	}
	if strings.ContainsFunc(h.Base, unicode.IsControl) {
		return errors.New("base: has a control character")
	}
	if h.From >= h.To {
		return fmt.Errorf("numbers: from %d to %d: want from < to", h.From, h.To)
	}
	return nil
}

// lines are the comments of the head, in their only order.
func (h SetHeader) lines() []string {
	return []string{
		"# terrace-directory-set: 1",
		"# directory: " + h.Directory,
		"# base: " + h.Base,
		"# from: " + strconv.FormatUint(h.From, 10),
		"# to: " + strconv.FormatUint(h.To, 10),
		"# created: " + h.Created.UTC().Format(time.RFC3339),
	}
}

// parseSetHeader takes the lines in the one form that lines writes.
func parseSetHeader(lines []string) (SetHeader, error) {
	var h SetHeader
	if len(lines) != 6 || lines[0] != "# terrace-directory-set: 1" {
		return h, errors.New("head: want the six lines of a terrace-directory-set of version 1")
	}
	h.Directory = strings.TrimPrefix(lines[1], "# directory: ")
	h.Base = strings.TrimPrefix(lines[2], "# base: ")
	var errs [3]error
	h.From, errs[0] = strconv.ParseUint(strings.TrimPrefix(lines[3], "# from: "), 10, 64)
	h.To, errs[1] = strconv.ParseUint(strings.TrimPrefix(lines[4], "# to: "), 10, 64)
	h.Created, errs[2] = time.Parse(time.RFC3339, strings.TrimPrefix(lines[5], "# created: "))
	if err := errors.Join(errs[:]...); err != nil {
		return SetHeader{}, fmt.Errorf("head: %w", err)
	}
	if err := h.check(); err != nil {
		return SetHeader{}, fmt.Errorf("head: %w", err)
	}
	for i, line := range h.lines() {
		if line != lines[i] {
			return SetHeader{}, fmt.Errorf("head: line %d is malformed", i+1)
		}
	}
	return h, nil
}
