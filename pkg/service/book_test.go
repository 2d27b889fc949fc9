package service

import (
	"encoding/json"
	"testing"
	"time"
)

func moment(seq uint64) time.Time { return time.Unix(int64(seq), 0).UTC() }

func at(seq uint64) *delivery { return &delivery{seq: seq, at: moment(seq)} }

// written is the record as the next reader finds it.
func written(t *testing.T, b *book) record {
	t.Helper()
	now, changed := b.news()
	if !changed {
		t.Error("the book has not changed")
	}
	body, err := json.Marshal(now)
	if err != nil {
		t.Fatal(err)
	}
	var read record
	if err := json.Unmarshal(body, &read); err != nil {
		t.Fatal(err)
	}
	return read
}

func TestNextReaderGoesOnWhereTheLastOneStopped(t *testing.T) {
	b := newBook("planner")
	for seq := uint64(3); seq <= 6; seq++ {
		if !b.begin(at(seq)) {
			t.Errorf("%d was done before anybody read", seq)
		}
	}
	b.done(3)
	b.done(5)
	old := written(t, b)
	if _, changed := b.news(); changed {
		t.Error("the book has changed again")
	}
	next := continued("planner", old)
	if next.next() != 4 {
		t.Errorf("it goes on at %d, want 4", next.next())
	}
	for seq, want := range map[uint64]bool{3: false, 4: true, 5: false, 6: true, 7: true} {
		if got := next.begin(at(seq)); got != want {
			t.Errorf("%d is worked on: %v, want %v", seq, got, want)
		}
	}
}

// What was open stays open until it is done, also when the next reader stops before it has come to it.
func TestOpenStaysOpen(t *testing.T) {
	b := newBook("planner")
	b.begin(at(1))
	b.begin(at(2))
	b.done(2)
	next := continued("planner", written(t, b))
	next.begin(at(3))
	next.done(3)
	if third := continued("planner", written(t, next)); third.next() != 1 || !third.begin(at(1)) {
		t.Errorf("the third reader goes on at %d", third.next())
	}
}

// In an EVENTS that was restored the numbers are given again: those of before are told by their time.
func TestRestoredEventsAreToldByTime(t *testing.T) {
	b := newBook("planner")
	b.begin(at(5))
	b.begin(at(6))
	b.done(6)
	again := begunAgain("planner", written(t, b))
	if again.next() != 1 {
		t.Errorf("it goes on at %d, want 1", again.next())
	}
	if again.begin(at(4)) {
		t.Error("4 was done")
	}
	if !again.begin(at(5)) {
		t.Error("5 was open")
	}
	if !again.begin(&delivery{seq: 6, at: moment(9)}) {
		t.Error("another 6 came later")
	}
}
