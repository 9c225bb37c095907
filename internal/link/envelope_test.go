package link

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func sampleRequest() request {
	return request{From: "ra", To: "ca", Method: "Issue", ID: id{0: 1, 15: 2}, Epoch: id{0: 3, 15: 4},
		At: time.UnixMilli(1767323045006), Body: []byte("{}")}
}

func sampleResponse() response {
	return response{From: "ca", To: "ra", InReplyTo: [32]byte{0: 5, 31: 6}, Epoch: id{0: 3, 15: 4},
		Code: "link/busy", Retryable: true, Text: "too many", Body: []byte{}}
}

// The encoding is what both sides sign; a change of it is a new version.
func TestEncoding(t *testing.T) {
	text := func(s string) string { return hex.EncodeToString([]byte(s)) }
	for name, tc := range map[string]struct {
		got  []byte
		want []string
	}{
		"request": {sampleRequest().encode(), []string{
			"00000017", text("terrace/link/request/v1"), "00000002", text("ra"), "00000002", text("ca"), "00000005", text("Issue"),
			"01000000000000000000000000000002", "03000000000000000000000000000004", "0000019b7ca98c8e", "00000002", text("{}")}},
		"response": {sampleResponse().encode(), []string{
			"00000018", text("terrace/link/response/v1"), "00000002", text("ca"), "00000002", text("ra"),
			"05" + strings.Repeat("00", 30) + "06", "03000000000000000000000000000004",
			"00000009", text("link/busy"), "01", "00000008", text("too many"), "00000000"}},
	} {
		if diff := cmp.Diff(strings.Join(tc.want, ""), hex.EncodeToString(tc.got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestParseRefusesLongParts(t *testing.T) {
	for name, change := range map[string]func(*request){
		"from":   func(r *request) { r.From = strings.Repeat("a", maxName+1) },
		"method": func(r *request) { r.Method = strings.Repeat("a", maxMethod+1) },
		"at":     func(r *request) { r.At = time.UnixMilli(maxAt + 1) },
		"past":   func(r *request) { r.At = time.UnixMilli(-1) },
	} {
		r := sampleRequest()
		change(&r)
		if _, _, err := parseRequest(appendField(r.encode(), "signature")); err == nil {
			t.Errorf("%s: was taken", name)
		}
	}
	if _, _, err := parseRequest(appendField(sampleRequest().encode(), make([]byte, maxSignature+1))); err == nil {
		t.Error("signature: was taken")
	}
	long := sampleResponse()
	long.Text = bounded(strings.Repeat("\xff梯", maxText))
	if _, _, err := parseResponse(appendField(long.encode(), "signature")); err != nil {
		t.Errorf("bounded text: %v", err)
	}
}

// Whatever is taken has one encoding only, and no input does harm.
func FuzzEnvelope(f *testing.F) {
	f.Add(appendField(sampleRequest().encode(), "signature"))
	f.Add(appendField(sampleResponse().encode(), "signature"))
	f.Add([]byte(nil))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Add(appendField(nil, requestDomain))
	f.Add(append(appendField(nil, requestDomain), 0xff, 0xff, 0xff, 0xff))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, s, err := parseRequest(b); err == nil && !bytes.Equal(b, appendField(r.encode(), s.signature)) {
			t.Errorf("request %x has another encoding, %x", b, r.encode())
		}
		if r, s, err := parseResponse(b); err == nil && !bytes.Equal(b, appendField(r.encode(), s.signature)) {
			t.Errorf("response %x has another encoding, %x", b, r.encode())
		}
	})
}
