package directory

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Bounds of LDIF that is read.
const (
	// MaxLDIFLine is the longest logical line in bytes: one value of MaxEntry in Base64.
	MaxLDIFLine = MaxEntry/3*4 + 256
	// MaxLDIFValues bounds the values of one record.
	MaxLDIFValues = 1024
	// maxLDIFPhysical is the longest line before unfolding; writers fold at 76.
	maxLDIFPhysical = 64 << 10
)

// ldifReader reads content records and the change records add and delete.
type ldifReader struct {
	in     *bufio.Reader
	number int // of the physical line
	peeked []byte
	has    bool
	last   []byte // the logical line that was read last
}

func newLDIFReader(r io.Reader) *ldifReader {
	return &ldifReader{in: bufio.NewReaderSize(r, maxLDIFPhysical)}
}

// physical returns the next line without its end, valid until the next call.
func (r *ldifReader) physical() ([]byte, error) {
	if r.has {
		r.has = false
		return r.peeked, nil
	}
	line, err := r.in.ReadSlice('\n')
	r.number++
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, fmt.Errorf("has more than %d bytes; fold it", maxLDIFPhysical)
	case err == io.EOF && len(line) > 0:
	case err != nil:
		return nil, err
	}
	return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r")), nil
}

// logical returns the next unfolded line that is no comment, valid until the
// next call; an empty one separates records.
func (r *ldifReader) logical() ([]byte, error) {
	for {
		first, err := r.physical()
		if err != nil {
			return nil, err
		}
		r.last = append(r.last[:0], first...)
		for len(r.last) > 0 {
			next, err := r.physical()
			if err == io.EOF {
				break
			}
			if err != nil {
				return nil, err
			}
			if len(next) == 0 || next[0] != ' ' {
				r.peeked, r.has = next, true
				break
			}
			if len(r.last)+len(next) > MaxLDIFLine {
				return nil, fmt.Errorf("unfolded, has more than %d bytes", MaxLDIFLine)
			}
			r.last = append(r.last, next[1:]...)
		}
		if len(r.last) == 0 || r.last[0] != '#' {
			return r.last, nil
		}
	}
}

// next returns the next record, or io.EOF. deleted: it is a change record
// "delete"; the entry then has a DN alone.
func (r *ldifReader) next() (e Entry, deleted bool, err error) {
	e, deleted, err = r.record()
	if err != nil && err != io.EOF {
		err = fmt.Errorf("LDIF line %d: %w", r.number, err)
	}
	return e, deleted, err
}

func (r *ldifReader) record() (e Entry, deleted bool, err error) {
	for {
		line, err := r.logical()
		if err != nil {
			return e, false, err
		}
		if len(line) == 0 {
			continue
		}
		typ, value, err := splitLDIF(line)
		if err != nil {
			return e, false, err
		}
		switch strings.ToLower(typ) {
		case "version":
			if string(value) != "1" {
				return e, false, errors.New("version is not 1")
			}
			continue
		case "dn":
			if _, err := parseDN(string(value)); err != nil {
				return e, false, err
			}
			e.DN = string(value)
			return r.attributes(e)
		}
		return e, false, fmt.Errorf("record begins with %.64q, want dn", typ)
	}
}

func (r *ldifReader) attributes(e Entry) (Entry, bool, error) {
	var attributes []Attribute
	index := map[string]int{}
	values, size, changeType := 0, 0, ""
	for {
		line, err := r.logical()
		if err != nil && err != io.EOF {
			return Entry{}, false, err
		}
		if err == io.EOF || len(line) == 0 {
			break
		}
		typ, value, err := splitLDIF(line)
		if err != nil {
			return Entry{}, false, err
		}
		lower := strings.ToLower(typ)
		if lower == "changetype" && values == 0 && changeType == "" {
			changeType = string(value)
			if changeType != "add" && changeType != "delete" {
				return Entry{}, false, fmt.Errorf("changetype %.32q: want add or delete", changeType)
			}
			continue
		}
		if values++; values > MaxLDIFValues {
			return Entry{}, false, fmt.Errorf("record has more than %d values", MaxLDIFValues)
		}
		if size += len(value); size > MaxEntry {
			return Entry{}, false, fmt.Errorf("record has more than %d bytes", MaxEntry)
		}
		i, ok := index[lower]
		if !ok {
			i = len(attributes)
			index[lower] = i
			attributes = append(attributes, Attribute{Type: typ})
		}
		attributes[i].Values = append(attributes[i].Values, value)
	}
	deleted := changeType == "delete"
	if deleted != (values == 0) {
		return Entry{}, false, errors.New("an entry has attributes, and a deletion has none")
	}
	e = NewEntry(e.DN, attributes...)
	return e, deleted, e.check()
}

// splitLDIF reads "type: value" or "type:: Base64"; the value is a copy.
func splitLDIF(line []byte) (string, []byte, error) {
	typ, rest, ok := bytes.Cut(line, []byte{':'})
	if !ok || len(typ) == 0 || len(typ) > 128 {
		return "", nil, errors.New("want <type>: <value>")
	}
	switch {
	case bytes.HasPrefix(rest, []byte{'<'}):
		return "", nil, errors.New("values by URL are not supported")
	case bytes.HasPrefix(rest, []byte{':'}):
		value, err := base64.StdEncoding.Strict().AppendDecode(nil, bytes.TrimLeft(rest[1:], " "))
		if err != nil {
			return "", nil, errors.New("value is not Base64")
		}
		return string(typ), value, nil
	}
	value := bytes.TrimLeft(rest, " ")
	if !utf8.Valid(value) {
		return "", nil, errors.New("value is not UTF-8; write it in Base64")
	}
	return string(typ), bytes.Clone(value), nil
}
