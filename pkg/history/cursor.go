package history

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
)

// A cursor is where a list continues. The list contains first the current flows, in the order of the keys, then the
// segments of history, newest first.
//
// Flows move from one part to the other while a list is read. So that each is listed once, the segments that were
// stored since the list began (after Start) count as current, and history ends at Start.
type cursor struct {
	// Start is the last sequence of history when the list began.
	Start uint64 `json:"s,omitempty"`
	// After is the key of the last flow listed; nil means the beginning.
	After *key `json:"a,omitempty"`
	// History is true in the second part: it continues with the records before number Index of segment Seq, and
	// the segments before that.
	History bool   `json:"h,omitempty"`
	Seq     uint64 `json:"q,omitempty"`
	Index   int    `json:"i,omitempty"`
}

// A key orders current flows: the most recently submitted first.
type key struct {
	Seconds     int64  `json:"t"`
	Nanoseconds int    `json:"n,omitempty"`
	Flow        string `json:"f"`
}

func keyOf(s contract.FlowStatus) key {
	return key{s.Submitted.Unix(), s.Submitted.Nanosecond(), s.Flow}
}

func (k key) compare(o key) int {
	return cmp.Or(cmp.Compare(o.Seconds, k.Seconds), cmp.Compare(o.Nanoseconds, k.Nanoseconds),
		cmp.Compare(k.Flow, o.Flow))
}

// inHistory returns where history begins in a list.
func (c cursor) inHistory() cursor {
	return cursor{History: true, Seq: c.Start, Index: math.MaxInt32}
}

func (c cursor) String() string {
	b, err := json.Marshal(c)
	if err != nil {
		panic(err) // numbers and a string can be encoded
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// cursorLimit limits the length of a cursor's text.
const cursorLimit = 512

// parseCursor is the inverse of String; "" is nil, the beginning.
func parseCursor(text string) (*cursor, error) {
	if text == "" {
		return nil, nil
	}
	if len(text) > cursorLimit {
		return nil, errors.New("it is too long")
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	var c cursor
	if err := json.Unmarshal(b, &c); err != nil {
		return nil, err
	}
	if c.Index < 0 || c.After != nil && !document.ValidName(c.After.Flow) {
		return nil, errors.New("it is out of range")
	}
	return &c, nil
}
