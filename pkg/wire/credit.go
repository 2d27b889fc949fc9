package wire

import "encoding/binary"

// A Credit tells a writer what its reader has consumed so far. All figures are cumulative, so only
// the last credit matters and any may be lost.
type Credit struct {
	// Closed says that the reader wants no more.
	Closed bool
	// Frame is the number of the last frame consumed whole, 0 before the first.
	Frame uint64
	// Records and Octets are what was read, for displays; they may include a part of the frame
	// after Frame.
	Records, Octets uint64
	// Attach is the last token of the subject on which the reader hears frames directly, 0 if it
	// does not. A reader that may have missed some takes a new one, which is larger.
	Attach uint64
}

// Append adds the credit's CreditSize octets to b.
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

// ParseCredit reads a credit; the error is an *Error.
func ParseCredit(b []byte) (Credit, error) {
	switch {
	case len(b) < CreditSize:
		return Credit{}, fault(ReasonShort, 0, "a credit of %d octets, not %d", len(b), CreditSize)
	case b[0] != Version:
		return Credit{}, fault(ReasonVersion, 0, "version %d, not %d", b[0], Version)
	case b[1]&^FlagClosed != 0:
		return Credit{}, fault(ReasonFlags, 0, "unknown flags %#x", b[1])
	case len(b) > CreditSize:
		return Credit{}, fault(ReasonTrailing, 0, "%d octets too many", len(b)-CreditSize)
	}
	return Credit{
		Closed:  b[1] == FlagClosed,
		Frame:   binary.BigEndian.Uint64(b[2:]),
		Records: binary.BigEndian.Uint64(b[10:]),
		Octets:  binary.BigEndian.Uint64(b[18:]),
		Attach:  binary.BigEndian.Uint64(b[26:]),
	}, nil
}
