package publishing

import "time"

// maxMarks bounds what waiting remembers; with one look in two seconds, half an hour.
const maxMarks = 1024

// waiting knows since when numbers of the feed wait to be confirmed.
type waiting struct {
	position, head int64
	marks          []mark // by head
}

// mark: all numbers to head, and above the mark before, were there at.
type mark struct {
	head int64
	at   time.Time
}

// see notes the feed's head. What came between two looks counts from the second.
func (w *waiting) see(head int64, now time.Time) {
	if head <= w.head {
		return
	}
	w.head = head
	if head <= w.position {
		return
	}
	if len(w.marks) == maxMarks { // join two each; both count from the earlier
		kept := w.marks[:0]
		for i := 0; i < maxMarks; i += 2 {
			kept = append(kept, mark{w.marks[i+1].head, w.marks[i].at})
		}
		w.marks = kept
	}
	w.marks = append(w.marks, mark{head, now})
}

// confirm notes the position. One that goes back begins a new count.
func (w *waiting) confirm(position int64) {
	if position < w.position {
		w.marks, w.head = nil, 0
	}
	w.position = position
	for len(w.marks) > 0 && w.marks[0].head <= position {
		w.marks = w.marks[1:]
	}
}

func (w *waiting) backlog() int64 { return max(0, w.head-w.position) }

func (w *waiting) lag(now time.Time) time.Duration {
	if len(w.marks) == 0 {
		return 0
	}
	return max(0, now.Sub(w.marks[0].at))
}
