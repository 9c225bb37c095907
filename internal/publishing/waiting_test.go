package publishing

import (
	"testing"
	"time"
)

func TestWaiting(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	var w waiting
	check := func(step string, now int, backlog int64, lag time.Duration) {
		t.Helper()
		if got := w.backlog(); got != backlog {
			t.Errorf("%s: backlog %d, want %d", step, got, backlog)
		}
		if got := w.lag(at(now)); got != lag {
			t.Errorf("%s: lag %s, want %s", step, got, lag)
		}
	}
	check("empty", 5, 0, 0)
	w.see(10, at(10))
	check("ten came", 12, 10, 2*time.Second)
	w.see(15, at(20))
	check("more came", 20, 15, 10*time.Second)
	w.confirm(9)
	check("the oldest is not confirmed yet", 21, 6, 11*time.Second)
	w.confirm(10)
	check("the second five wait", 21, 5, time.Second)
	w.confirm(15)
	check("all", 30, 0, 0)
	w.see(15, at(30))
	check("nothing new", 40, 0, 0)
	w.confirm(0)
	w.see(15, at(50))
	check("from the beginning again", 51, 15, time.Second)
}

func TestWaitingIsBounded(t *testing.T) {
	var w waiting
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 10 * maxMarks {
		w.see(int64(i+1), start.Add(time.Duration(i)*time.Second))
	}
	if len(w.marks) > maxMarks {
		t.Errorf("%d marks, want at most %d", len(w.marks), maxMarks)
	}
	now := start.Add(10 * maxMarks * time.Second)
	if got, want := w.lag(now), 10*maxMarks*time.Second; got != want {
		t.Errorf("lag of the oldest is %s, want %s", got, want)
	}
	w.confirm(10*maxMarks - 1)
	if w.lag(now) < time.Second {
		t.Errorf("lag of the newest is %s, want a second or more: joined marks count from the earlier", w.lag(now))
	}
}
