package directory

import (
	"errors"
	"strings"
	"testing"
)

func TestReadLDIF(t *testing.T) {
	const two = "version: 1\n\ndn: dc=cn\nobjectClass: domain\ndc: cn\n\ndn: cn=a,dc=cn\nobjectClass: device\ncn: a\n"
	stop := errors.New("stop")
	for name, c := range map[string]struct {
		in   string
		stop bool
		want int
		err  string
	}{
		"entries":       {two, false, 2, ""},
		"nothing":       {"version: 1\n", false, 0, ""},
		"a deletion":    {"version: 1\n\ndn: dc=cn\nchangetype: delete\n", false, 0, "holds a deletion"},
		"no LDIF":       {"hello\n", false, 0, "LDIF line"},
		"yield's error": {two, true, 1, "stop"},
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			err := ReadLDIF(strings.NewReader(c.in), func(Entry) error {
				n++
				if c.stop {
					return stop
				}
				return nil
			})
			if n != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("%d entries, %v; want %d, %q", n, err, c.want, c.err)
			}
		})
	}
}
