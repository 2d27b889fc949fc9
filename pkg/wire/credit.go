package wire

import "encoding/binary"

// A Credit tells a writer what its reader has consumed so far. All numbers are cumulative, so only the last
// credit matters and any may be lost.
type Credit struct {
	// Closed means that the reader needs no more records.
	Closed bool
	// Frame is the number of the last frame that was completely consumed, 0 before the first.
	Frame uint64
	// Records and Octets count what was read, for displays; they may include a part of the frame after
	// Frame.
	Records, Octets uint64
	// Attach is the last token of the subject on which the reader receives frames directly, or 0 if it does
	// not. A reader that may have missed frames uses a new, larger token.
	Attach uint64
}

// Append appends the CreditSize bytes of the credit to b.
func (c Credit) Append(b []byte) []byte {
	flags := byte(0)
	if c.Closed {
		flags = FlagClosed
	}
	b = append(b, Version, flags)
	b = binary.BigEndian.AppendUint64(b, c.Frame)
	b = binary.BigEndian.AppendUint64(b, c.Records)
	b = binary.BigEndian.AppendUint64(b, c.Octets)
	return binary.BigEndian.AppendUint64(b, c.Attach)
}

// ParseCredit parses a credit; the error is an *Error.
func ParseCredit(b []byte) (Credit, error) {
	switch {
	case len(b) < CreditSize:
		return Credit{}, fault(ReasonShort, 0, "a credit of %d bytes, not %d", len(b), CreditSize)
	case b[0] != Version:
		return Credit{}, fault(ReasonVersion, 0, "version %d, not %d", b[0], Version)
	case b[1]&^FlagClosed != 0:
		return Credit{}, fault(ReasonFlags, 0, "unknown flags %#x", b[1])
	case len(b) > CreditSize:
		return Credit{}, fault(ReasonTrailing, 0, "%d bytes too many", len(b)-CreditSize)
	}
	return Credit{
		Closed:  b[1] == FlagClosed,
		Frame:   binary.BigEndian.Uint64(b[2:]),
		Records: binary.BigEndian.Uint64(b[10:]),
		Octets:  binary.BigEndian.Uint64(b[18:]),
		Attach:  binary.BigEndian.Uint64(b[26:]),
	}, nil
}
