package interop

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// maxOperations bounds one batch.
const maxOperations = 1000

// Answer is what BouncyCastle said to one operation of a Batch, after Run.
type Answer[T any] struct {
	Value T
	// Err is the refusal, nil if there is none.
	Err error
}

// Batch collects operations for one run of the Java program, whose start takes
// about half a second. It runs once.
type Batch struct {
	ops   []operation
	files map[string][]byte
	err   error // the first operation that could not be taken
}

// operation is one line of the batch file and where its answer goes.
type operation struct {
	words  []string
	accept func(reply)
}

// reply is a line that the Java program prints.
type reply struct {
	OK     bool            `json:"ok"`
	Kind   string          `json:"kind"`
	Detail json.RawMessage `json:"detail"`
	Error  string          `json:"error"`
	Result json.RawMessage `json:"result"`
}

// RevokedError says that a path is sound but for a revoked certificate.
type RevokedError struct {
	// Serial is that of the revoked certificate, hexadecimal; Index its place
	// in the path, 0 the leaf.
	Serial string `json:"serial"`
	Index  int    `json:"index"`
	Reason string `json:"-"`
}

func (e *RevokedError) Error() string {
	return fmt.Sprintf("certificate %d of the path, serial %s, is revoked: %s", e.Index, e.Serial, e.Reason)
}

// ResponseStatusError says that an OCSP response is an error response.
type ResponseStatusError struct {
	Status int    `json:"status"` // OCSPResponseStatus of RFC 6960 section 4.2.1
	Name   string `json:"name"`
}

func (e *ResponseStatusError) Error() string {
	return fmt.Sprintf("OCSP response status %d, %s", e.Status, e.Name)
}

// refusal turns a reply into the error that it stands for.
func (r reply) refusal() error {
	switch r.Kind {
	case "revoked":
		e := RevokedError{Reason: r.Error}
		if err := json.Unmarshal(r.Detail, &e); err != nil {
			return err
		}
		return &e
	case "responseStatus":
		var e ResponseStatusError
		if err := json.Unmarshal(r.Detail, &e); err != nil {
			return err
		}
		return &e
	}
	return errors.New(r.Error)
}

// argument is a NAME=VALUE word. A []byte goes through a file, a zero time is
// left out.
type argument struct {
	name  string
	value any
}

// add queues an operation whose result has the type T.
func add[T any](b *Batch, command string, args ...argument) *Answer[T] {
	a := &Answer[T]{Err: fmt.Errorf("BouncyCastle %s: the batch did not run", command)}
	words, err := b.words(command, args)
	if err != nil {
		b.err = errors.Join(b.err, fmt.Errorf("BouncyCastle %s: %w", command, err))
		return a
	}
	b.ops = append(b.ops, operation{words, func(r reply) {
		err := r.refusal()
		if r.OK {
			err = json.Unmarshal(r.Result, &a.Value)
		}
		if a.Err = err; err != nil {
			a.Err = fmt.Errorf("BouncyCastle %s: %w", command, err)
		}
	}})
	return a
}

func (b *Batch) words(command string, args []argument) ([]string, error) {
	if len(b.ops) == maxOperations {
		return nil, fmt.Errorf("more than %d operations in a batch", maxOperations)
	}
	if b.files == nil {
		b.files = map[string][]byte{}
	}
	words := []string{command}
	for i, a := range args {
		value := fmt.Sprint(a.value)
		switch v := a.value.(type) {
		case []byte:
			value = fmt.Sprintf("%d-%d", len(b.ops), i)
			b.files[value] = v
		case time.Time:
			if v.IsZero() {
				continue
			}
			value = v.UTC().Format(time.RFC3339Nano)
		}
		if strings.ContainsAny(value, "\t\r\n") {
			return nil, fmt.Errorf("argument %s: tab or line break in %q", a.name, value)
		}
		words = append(words, a.name+"="+value)
	}
	return words, nil
}

// one runs a single operation.
func one[T any](queue func(*Batch) *Answer[T]) (T, error) {
	var b Batch
	a := queue(&b)
	if err := b.Run(); err != nil {
		return a.Value, err
	}
	return a.Value, a.Err
}

// Run performs the operations and fills their answers. Its own error means that
// nothing was judged; refusals stand in the answers.
func (b *Batch) Run() error {
	if b.err != nil || len(b.ops) == 0 {
		return b.err
	}
	classPath, err := compiled()
	if err != nil {
		return fmt.Errorf("BouncyCastle: %w", err)
	}
	w, err := newWorkspace(b.files)
	if err != nil {
		return fmt.Errorf("BouncyCastle: %w", err)
	}
	defer w.remove()
	var lines strings.Builder
	for _, op := range b.ops {
		lines.WriteString(strings.Join(op.words, "\t") + "\n")
	}
	if err := w.write("batch", []byte(lines.String())); err != nil {
		return fmt.Errorf("BouncyCastle: %w", err)
	}
	out, runErr := runTool(string(w), []string{"LC_ALL=C.UTF-8"}, "java", "-XX:TieredStopAtLevel=1", "-cp", classPath, "Verify", "batch", "batch")
	replies := bytes.Split(bytes.TrimSpace(out.stdout), []byte("\n"))
	if len(replies) != len(b.ops) {
		return fmt.Errorf("BouncyCastle: %d replies to %d operations: %v: %s", len(replies), len(b.ops), runErr, out.stderr)
	}
	return b.deliver(replies, runErr)
}

// deliver also holds the replies against the exit status, which is not 0 if and
// only if one of them is a refusal.
func (b *Batch) deliver(lines [][]byte, runErr error) error {
	replies := make([]reply, len(lines))
	refused := false
	for i, line := range lines {
		if err := json.Unmarshal(line, &replies[i]); err != nil {
			return fmt.Errorf("BouncyCastle: reply %d: %w", i, err)
		}
		refused = refused || !replies[i].OK
	}
	if refused != (runErr != nil) {
		return fmt.Errorf("BouncyCastle: the replies do not agree with the exit status: %v", runErr)
	}
	for i, op := range b.ops {
		op.accept(replies[i])
	}
	return nil
}
