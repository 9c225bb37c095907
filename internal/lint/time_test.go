package lint

import (
	"testing"
	"time"

	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// FuzzTime holds the reader of times to package time.
func FuzzTime(f *testing.F) {
	for _, s := range []string{
		"260301120000Z", "500101000000Z", "490229000000Z", "240229235959Z", "241301000000Z", "240100000000Z",
		"240101240000Z", "240101006000Z", "240101000060Z", "20500101000000Z", "00000101000000Z", "2401010000Z", "24010100000+Z", "2401010000.1Z", "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		const layout = "20060102150405Z"
		for _, st := range []stamp{utc(s), generalized(s)} {
			full := s
			if st.tag == cbasn1.UTCTime {
				century := "20"
				if s != "" && s[0] >= '5' {
					century = "19"
				}
				full = century + s
			}
			want, wantErr := time.Parse(layout, full)
			if wantErr == nil && len(full) != len(layout) {
				continue // a fraction, which package time reads and RFC 5280 forbids
			}
			got, err := st.time()
			if (err == nil) != (wantErr == nil) || !got.Equal(want) {
				t.Errorf("%q with tag %d: got %s, %v, package time %s, %v", s, st.tag, got, err, want, wantErr)
			}
		}
	})
}
