package registration

import (
	"bytes"
	"testing"
)

func TestSameIdentity(t *testing.T) {
	values := map[string]string{"identityCard": "11010519491231002X", "insuranceNumber": "SB1"}
	opened := func(values map[string]string) (o Opened) {
		o.IdentitySalt, o.IdentitySum = SumIdentity(values)
		return o
	}
	for name, tc := range map[string]struct {
		opened Opened
		now    map[string]string
		want   bool
	}{
		"the same":           {opened(values), map[string]string{"insuranceNumber": "SB1", "identityCard": "11010519491231002X"}, true},
		"another value":      {opened(values), map[string]string{"identityCard": "11010519491231002X", "insuranceNumber": "SB2"}, false},
		"exchanged":          {opened(values), map[string]string{"identityCard": "SB1", "insuranceNumber": "11010519491231002X"}, false},
		"one is missing":     {opened(values), map[string]string{"identityCard": "11010519491231002X"}, false},
		"all are missing":    {opened(values), nil, false},
		"split elsewhere":    {opened(map[string]string{"a": "bc"}), map[string]string{"ab": "c"}, false},
		"none and none":      {opened(nil), map[string]string{}, true},
		"none were recorded": {opened(nil), values, false},
	} {
		if got := tc.opened.SameIdentity(tc.now); got != tc.want {
			t.Errorf("%s: got %t, want %t", name, got, tc.want)
		}
	}
	one, other := opened(values), opened(values)
	if bytes.Equal(one.IdentitySalt, other.IdentitySalt) || bytes.Equal(one.IdentitySum, other.IdentitySum) {
		t.Error("two requests with one value have one sum: it would tell who shares a number")
	}
}
