package wire

import "fmt"

// A Reason names the rule that the input breaks. Reasons are part of the golden vectors, so they are
// append-only.
type Reason string

// The rules of frames, credits and beats.
const (
	ReasonShort      Reason = "short"       // fewer bytes than the fixed part needs
	ReasonVersion    Reason = "version"     // the first byte is not Version
	ReasonFlags      Reason = "flags"       // an unknown flag is set
	ReasonNumber     Reason = "number"      // frame number 0
	ReasonGap        Reason = "gap"         // a frame before this one is missing
	ReasonAfterEnd   Reason = "after-end"   // a new frame after the one with END
	ReasonEmpty      Reason = "empty"       // neither a chunk nor END
	ReasonVarint     Reason = "varint"      // a length that is truncated, over-long or above 64 bits
	ReasonLength     Reason = "length"      // a chunk longer than what is left of its frame
	ReasonNoProgress Reason = "no-progress" // an empty chunk with the flag more
	ReasonMore       Reason = "more"        // a chunk with the flag more is not the last of its frame
	ReasonCut        Reason = "cut"         // END inside a record
	ReasonTotals     Reason = "totals"      // the trailer's totals are not those counted
	ReasonChecksum   Reason = "checksum"    // the trailer's CRC-32 is not that of the chunks
	ReasonTooLong    Reason = "too-long"    // a record above the reader's limit
	ReasonTrailing   Reason = "trailing"    // bytes after the end of a credit
	ReasonBeat       Reason = "beat"        // a malformed heartbeat
	ReasonUnread     Reason = "unread"      // the caller passed a frame before reading the last one
)

// An Error is a violation of the wire format.
type Error struct {
	Reason Reason
	// Frame is the number of the faulty frame, or 0 if there is none.
	Frame uint64
	// Message describes the fault.
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
