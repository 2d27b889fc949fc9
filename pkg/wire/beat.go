package wire

import (
	"math"
	"strconv"
	"time"
)

// A beat is a heartbeat of a job: "+" and the number of milliseconds that it is good for, in ASCII decimal. The
// job counts as dead that long after the beat was received, unless another one arrives: so only the receiver's
// clock matters.
//
// Beats of the older form have no sign. They are the sender's Unix time in milliseconds until which the job
// lives, which only a synchronized clock can evaluate.

// maxBeat is the maximum number of milliseconds in a time.Duration.
const maxBeat = math.MaxInt64 / int64(time.Millisecond)

// AppendBeat appends a beat to dst that is good for d, in whole milliseconds and at least one.
func AppendBeat(dst []byte, d time.Duration) []byte {
	ms := d / time.Millisecond
	if d%time.Millisecond > 0 {
		ms++
	}
	return strconv.AppendInt(append(dst, '+'), min(max(int64(ms), 1), maxBeat), 10)
}

// ParseBeat returns how long a beat is good for after it was received. For the older form it returns absolute, and
// no duration: treat it as good for the job's healthTimeout. The error is an *Error.
func ParseBeat(b []byte) (d time.Duration, absolute bool, err error) {
	digits := b
	absolute = len(b) == 0 || b[0] != '+'
	if !absolute {
		digits = b[1:]
	}
	ms, ok := decimal(digits)
	switch {
	case !ok:
		return 0, false, fault(ReasonBeat, 0, "%.40q is not a beat such as +10000", b)
	case absolute:
		return 0, true, nil
	}
	return time.Duration(ms) * time.Millisecond, false, nil
}

// decimal parses a positive number without a sign or leading zeros, up to maxBeat.
func decimal(digits []byte) (n int64, ok bool) {
	if len(digits) == 0 || digits[0] == '0' {
		return 0, false
	}
	for _, c := range digits {
		if c < '0' || c > '9' || n > maxBeat/10 {
			return 0, false
		}
		n = 10*n + int64(c-'0')
	}
	return n, n <= maxBeat
}
