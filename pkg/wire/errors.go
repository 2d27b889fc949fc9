package wire

import "fmt"

// A Reason names the rule that some octets break. Reasons are part of the golden vectors, so
// they are only ever added to.
type Reason string

// The rules of frames, credits and beats.
const (
	ReasonShort      Reason = "short"       // fewer octets than the fixed part needs
	ReasonVersion    Reason = "version"     // first octet is not Version
	ReasonFlags      Reason = "flags"       // an unknown flag is set
	ReasonNumber     Reason = "number"      // frame number 0
	ReasonGap        Reason = "gap"         // a frame before this one is missing
	ReasonAfterEnd   Reason = "after-end"   // a new frame after the one with END
	ReasonEmpty      Reason = "empty"       // neither a chunk nor END
	ReasonVarint     Reason = "varint"      // a length cut off, over-long or above 64 bits
	ReasonLength     Reason = "length"      // a chunk longer than what is left of its frame
	ReasonNoProgress Reason = "no-progress" // a chunk of no octets that says more
	ReasonMore       Reason = "more"        // a chunk that says more is not the last of its frame
	ReasonCut        Reason = "cut"         // END inside a record
	ReasonTotals     Reason = "totals"      // the trailer's totals are not those counted
	ReasonChecksum   Reason = "checksum"    // the trailer's CRC-32 is not that of the chunks
	ReasonTooLong    Reason = "too-long"    // a record above the reader's limit
	ReasonTrailing   Reason = "trailing"    // octets after the end of a credit
	ReasonBeat       Reason = "beat"        // a sign of life that is not one
	ReasonUnread     Reason = "unread"      // the caller gave a frame before reading the last one
)

// An Error is a breach of the wire form.
type Error struct {
	Reason Reason
	// Frame is the number of the frame at fault, 0 where there is none.
	Frame uint64
	// Message says what was found.
	Message string
}

func (e *Error) Error() string {
	if e.Frame == 0 {
		return fmt.Sprintf("%s (%s)", e.Message, e.Reason)
	}
	return fmt.Sprintf("frame %d: %s (%s)", e.Frame, e.Message, e.Reason)
}

func fault(r Reason, frame uint64, format string, args ...any) *Error {
	return &Error{Reason: r, Frame: frame, Message: fmt.Sprintf(format, args...)}
}
