package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Filter selects leaves also by what their details tell.
type Filter struct {
	Query
	// Operator and Result must be equal to those of a leaf; empty: any.
	Operator, Result string
}

// Search calls yield for the leaves that a filter selects, by number, at most
// limit of them. more says that there may be further ones, after the last.
func Search(ctx context.Context, l Ledger, f Filter, limit int, yield func(Leaf) error) (more bool, err error) {
	q := f.Query
	q.Limit = MaxPage
	for found := 0; ; {
		page, err := l.Leaves(ctx, q)
		if err != nil {
			return false, fmt.Errorf("search audit log: %w", err)
		}
		for _, leaf := range page {
			q.After = leaf.Seq
			if f.Operator != "" && leaf.Operator() != f.Operator || f.Result != "" && leaf.Result() != f.Result {
				continue
			}
			if found == limit {
				return true, nil
			}
			found++
			if err := yield(leaf); err != nil {
				return false, err
			}
		}
		if len(page) < MaxPage {
			return false, nil
		}
	}
}

// maxMarks bounds the marks that a search shows.
const maxMarks = 10_000

// Marks are those of a ledger, for looking up who audited a leaf.
type Marks []Mark

// ReadMarks reads at most 10,000 marks, those with the lowest numbers.
func ReadMarks(ctx context.Context, l Ledger) (all Marks, err error) {
	for after := int64(0); len(all) < maxMarks; {
		page, err := l.Marks(ctx, after, MaxPage)
		if err != nil {
			return nil, fmt.Errorf("read audit marks: %w", err)
		}
		if len(page) == 0 {
			break
		}
		all = append(all, page...)
		after = page[len(page)-1].Seq
	}
	return all, nil
}

// Of returns the auditors who marked a leaf, in the order of their marks.
func (m Marks) Of(seq int64) (auditors []string) {
	for _, one := range m {
		if one.From <= seq && seq <= one.To && !slices.Contains(auditors, one.Auditor) {
			auditors = append(auditors, one.Auditor)
		}
	}
	return auditors
}

// Line is a leaf as search and export write it in JSON.
type Line struct {
	Seq       int64           `json:"seq"`
	At        time.Time       `json:"at"`
	Act       string          `json:"act"`
	Subject   string          `json:"subject"`
	Operator  string          `json:"operator,omitempty"`
	Result    string          `json:"result"`
	AuditedBy []string        `json:"auditedBy,omitempty"`
	Detail    json.RawMessage `json:"detail"`
	// Hash is that of the leaf, and Proof leads from it to the root of the
	// checkpoint of an export; hexadecimal.
	Hash  string   `json:"hash"`
	Proof []string `json:"proof,omitempty"`
}

// NewLine writes a leaf. A detail that is no JSON, which Verify names, goes as a string.
func NewLine(l Leaf, marks Marks) Line {
	detail := json.RawMessage(l.Detail)
	if !json.Valid(detail) {
		detail, _ = json.Marshal(l.Detail) // a string always has a form
	}
	return Line{Seq: l.Seq, At: l.Time(), Act: l.Act, Subject: l.Subject, Operator: l.Operator(), Result: l.Result(),
		AuditedBy: marks.Of(l.Seq), Detail: detail, Hash: l.Hash().String()}
}
