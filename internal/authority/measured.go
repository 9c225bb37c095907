package authority

import "context"

// Filling is what a Filler adds.
type Filling struct {
	Issuer IssuerKey
	// Certificates to add, each with the content of Template (DER).
	Certificates int64
	Template     []byte
	// Revoked of them, spread evenly.
	Revoked int64
	Shards  int32
	// Progress, if not nil, is told how many are there.
	Progress func(int64)
}

// Filler is a store that can be made large for measurements, on a bench's own
// ledger alone.
type Filler interface {
	// Prefill adds certificates that nobody signed. Rows, indexes and leaves have the
	// sizes that issuance gives them, and serials and times rise as they do at 5,000
	// certificates a second.
	Prefill(ctx context.Context, f Filling) error
}

// Durable is a store that says what its durability costs, for measurements.
type Durable interface {
	// Commits returns how many transactions this process has made durable; each
	// is at least one synchronous write of the database's log.
	Commits() int64
	// Durability names the database's settings that make a commit durable, as in
	// "journal_mode=wal, synchronous=FULL".
	Durability(ctx context.Context) (string, error)
}
