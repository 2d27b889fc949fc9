package wire

import "encoding/binary"

// A hint is a header alone, with FlagStored: it tells a reader that receives frames directly that the stream
// holds frames that it has not received, up to and including the frame of that number.

// Hint makes the hint that frames up to number are stored.
func Hint(number uint64) []byte {
	b := make([]byte, HeaderSize)
	putHeader(b, FlagStored, number)
	return b
}

// ParseHint returns the number in a hint. It reports false for anything else, which Decoder.Frame
// handles.
func ParseHint(b []byte) (number uint64, ok bool) {
	if len(b) != HeaderSize || b[0] != Version || b[1] != FlagStored {
		return 0, false
	}
	return binary.BigEndian.Uint64(b[2:]), true
}

// Ends reports whether a frame has END.
func Ends(frame []byte) bool { return len(frame) >= HeaderSize && frame[1]&FlagEnd != 0 }

// Number is the number in the header of a frame, 0 where it has none.
func Number(frame []byte) uint64 {
	if len(frame) < HeaderSize {
		return 0
	}
	return binary.BigEndian.Uint64(frame[2:])
}
