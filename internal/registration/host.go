package registration

import (
	"errors"
	"fmt"
	"strings"
)

const (
	maxHost  = 253 // bytes, RFC 1035 §2.3.4 without the final dot
	maxLabel = 63  // bytes
)

// parseDomain checks a DNS name and returns it in lower case. The check comes
// first: there are letters outside ASCII whose lower case is inside it.
func parseDomain(s string) (string, error) {
	if err := checkHost(s); err != nil {
		return "", err
	}
	return strings.ToLower(s), nil
}

// checkHost takes LDH labels joined by dots, other scripts as A-labels (RFC 5890
// §2.3.1), without a dot at either end. The last label has a letter, for what
// ends in a number is read as an IPv4 address by some.
func checkHost(s string) error {
	if len(s) == 0 || len(s) > maxHost {
		return fmt.Errorf("has %d bytes, want 1 to %d", len(s), maxHost)
	}
	var last string
	for label := range strings.SplitSeq(s, ".") {
		if err := checkLabel(label); err != nil {
			return err
		}
		last = label
	}
	if strings.Trim(last, "0123456789") == "" {
		return errors.New("its last label is a number; IP addresses have rules and names of their own")
	}
	return nil
}

func checkLabel(l string) error {
	switch {
	case l == "":
		return errors.New("has an empty label; write neither a leading, a final nor a double dot")
	case len(l) > maxLabel:
		return fmt.Errorf("has a label of %d bytes, at most %d are allowed", len(l), maxLabel)
	case l[0] == '-' || l[len(l)-1] == '-':
		return errors.New("has a label that begins or ends with a hyphen")
	}
	for i := range len(l) {
		c := l[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-') {
			return errors.New("has a character outside letters, digits and hyphens; write other scripts as A-labels (xn--...), and no wildcard")
		}
	}
	// Two hyphens there are reserved (RFC 5890 §2.3.1); only xn-- has a meaning.
	if len(l) >= 4 && l[2:4] == "--" && !strings.EqualFold(l[:4], "xn--") {
		return errors.New("has hyphens at the third and fourth place of a label, which only A-labels (xn--...) have")
	}
	return nil
}
