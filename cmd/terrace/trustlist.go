package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/emmansun/gmsm/smx509"
	"github.com/spf13/cobra"

	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/trustlist"
)

func trustListCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "trustlist", Short: "Look into certificate trust lists"}
	cmd.AddCommand(trustListVerifyCommand())
	return cmd
}

func trustListVerifyCommand() *cobra.Command {
	var c trustListCheck
	cmd := &cobra.Command{Use: "verify FILE", Args: cobra.ExactArgs(1), Short: "Verify a trust list, .ctl or .p7b, and show what is on it",
		Long: `Verify the signature of a trust list (证书信任列表), the signer's right to sign it and
path to the root, its times, and that its certificates are those of the list and
no other ones. FILE is DER, - for standard input. Revocation of the signer is not
checked. The exit status is 0 when the list is good, 1 when it is not to be
relied on, and 2 when it could not be judged.`,
		Example: `  curl -fsSO http://pki.example.cn/ctl/industryca-ministry-g1.ctl
  terrace trustlist verify industryca-ministry-g1.ctl --root national-root.pem`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.run(cmd.InOrStdin(), cmd.OutOrStdout(), args[0])
		}}
	f := cmd.Flags()
	f.StringVar(&c.root, "root", "", "PEM file with the national root's certificate, from a source that you trust")
	f.StringVar(&c.at, "at", "", "time of the verification, RFC 3339; default now")
	f.Int64Var(&c.seen, "seen", 0, "sequence number of the last list that you took; an older one is refused")
	f.BoolVar(&c.json, "json", false, "write JSON")
	require(cmd, "root")
	return cmd
}

// trustListCheck is the flags of the command.
type trustListCheck struct {
	root, at string
	seen     int64
	json     bool
}

// shownTrustList is what the command says of a list, also in JSON.
type shownTrustList struct {
	Valid bool `json:"valid"`
	// Error is why it is not; empty otherwise.
	Error string `json:"error,omitempty"`
	// What follows is not to be believed unless Valid; empty when FILE is no list.
	Name           string             `json:"name,omitempty"`
	SequenceNumber int64              `json:"sequenceNumber,omitempty"`
	ThisUpdate     *time.Time         `json:"thisUpdate,omitempty"`
	NextUpdate     *time.Time         `json:"nextUpdate,omitempty"`
	Signer         *shownCertificate  `json:"signer,omitempty"`
	Entries        []shownCertificate `json:"entries,omitempty"`
}

type shownCertificate struct {
	Subject  string    `json:"subject"`
	Serial   string    `json:"serial"`
	NotAfter time.Time `json:"notAfter"`
	// SM3 of the certificate, hexadecimal.
	SM3 string `json:"sm3"`
}

func (c trustListCheck) run(stdin io.Reader, out io.Writer, file string) error {
	root, at, der, err := c.read(stdin, file)
	if err != nil {
		return unreadable(err)
	}
	list, refusal := trustlist.Parse(der)
	shown := shownTrustList{}
	if refusal == nil {
		shown = show(list)
		refusal = list.Verify(root, at, c.seen)
	}
	if shown.Valid = refusal == nil; refusal != nil {
		refusal = fmt.Errorf("%w; %s", refusal, cure(refusal))
		shown.Error = refusal.Error()
	}
	if c.json {
		err = json.NewEncoder(out).Encode(shown)
	} else {
		err = shown.write(out, root)
	}
	if err != nil {
		return err
	}
	return refusal
}

func (c trustListCheck) read(stdin io.Reader, file string) (root *smx509.Certificate, at time.Time, der []byte, err error) {
	fail := func(err error) (*smx509.Certificate, time.Time, []byte, error) { return nil, time.Time{}, nil, err }
	b, err := os.ReadFile(c.root)
	if err != nil {
		return fail(fmt.Errorf("--root: %w", err))
	}
	if root, err = pki.ParseCertificatePEM(b); err != nil {
		return fail(fmt.Errorf("--root: %w", err))
	}
	at = time.Now()
	if c.at != "" {
		if at, err = time.Parse(time.RFC3339, c.at); err != nil {
			return fail(fmt.Errorf("--at: %w", err))
		}
	}
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return fail(err)
		}
		defer f.Close()
		stdin = f
	}
	der, err = io.ReadAll(io.LimitReader(stdin, trustlist.MaxSigned+1)) // one more is too long for Parse
	if err != nil {
		return fail(err)
	}
	return root, at, der, nil
}

// cure says what to do about a refusal.
func cure(err error) string {
	for _, c := range []struct {
		err  error
		cure string
	}{
		{trustlist.ErrMalformed, "is it the .ctl or .p7b below /ctl/ of the validation service"},
		{trustlist.ErrCertificates, "import nothing from it, and fetch it again"},
		{trustlist.ErrSignature, "import nothing from it, and fetch it again"},
		{trustlist.ErrSigner, "is --root the root that the industry CA stands under"},
		{trustlist.ErrOlder, "somebody or some cache handed out an old list: fetch it from another place"},
		{trustlist.ErrTime, "if there is no later list, see docs/runbooks/trust-list-overdue.md"},
	} {
		if errors.Is(err, c.err) {
			return c.cure
		}
	}
	return "fetch it again"
}

func show(l *trustlist.Signed) shownTrustList {
	this, next := l.ThisUpdate.UTC(), l.NextUpdate.UTC()
	signer := showCertificate(l.Signer)
	s := shownTrustList{Name: l.Name, SequenceNumber: l.Sequence, ThisUpdate: &this, NextUpdate: &next, Signer: &signer}
	for _, c := range l.Certificates {
		s.Entries = append(s.Entries, showCertificate(c))
	}
	return s
}

func showCertificate(c *smx509.Certificate) shownCertificate {
	subject := c.Subject.String() // where a name cannot be read as we read it
	if name, err := pki.ParseNameDER(c.RawSubject); err == nil {
		subject = name.String()
	}
	id := trustlist.Identify(c)
	return shownCertificate{Subject: subject, Serial: string(pki.SerialFromInt(c.SerialNumber)), NotAfter: c.NotAfter.UTC(), SM3: hex.EncodeToString(id[:])}
}

func (s shownTrustList) write(out io.Writer, root *smx509.Certificate) error {
	if s.Signer == nil {
		return nil // the error says all that is known
	}
	verdict := "verified under " + root.Subject.String()
	if !s.Valid {
		verdict = "REFUSED: what follows is not to be believed"
	}
	_, err := fmt.Fprintf(out, "%s\nname             %s\nsequence number  %d\nthis update      %s\nnext update      %s\nsigner           %s, serial %s\nentries          %d\n",
		verdict, s.Name, s.SequenceNumber, s.ThisUpdate.Format(time.RFC3339), s.NextUpdate.Format(time.RFC3339), s.Signer.Subject, s.Signer.Serial, len(s.Entries))
	for _, e := range s.Entries {
		if err == nil {
			_, err = fmt.Fprintf(out, "\nsubject          %s\nserial           %s\nvalid until      %s\nSM3              %s\n", e.Subject, e.Serial, e.NotAfter.Format(time.RFC3339), e.SM3)
		}
	}
	return err
}
