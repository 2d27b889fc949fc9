package wire

import (
	"encoding/binary"
	"hash/crc32"
)

// Storage of a joined record above this size in bytes is released once the record was read.
const keepJoined = 2 << 20

// A Decoder decodes the frames of one edge into records, and checks their numbers, the totals and the
// checksum. It is not safe for concurrent use. After an error other than ReasonGap and ReasonUnread,
// every call returns that error again.
type Decoder struct {
	limit           int
	number          uint64 // of the last new frame
	body            []byte // chunks of that frame that are not read yet
	trailer         []byte // of the frame with END
	joined          []byte // the record being put together, or the last one that was
	before          []byte // the storage of the one before that
	stable          bool   // the last record is part of its frame
	open            bool   // a record continues in the next frame
	records, octets uint64
	crc             uint32
	ended           bool
	err             error
}

// NewDecoder makes a decoder that rejects records of more than maxRecord bytes, or DefaultMaxRecord if
// that is not positive.
func NewDecoder(maxRecord int) *Decoder {
	if maxRecord <= 0 {
		maxRecord = DefaultMaxRecord
	}
	return &Decoder{limit: maxRecord}
}

// Number is the number of the last new frame, 0 before the first.
func (d *Decoder) Number() uint64 { return d.number }

// Ended reports whether all records were read and the trailer is correct.
func (d *Decoder) Ended() bool { return d.ended }

// Frame begins the next frame. The decoder borrows it until Next has reported its end. It reports
// false for a repeated frame, which it drops. A frame after the next one is rejected with ReasonGap and
// changes nothing, so the missing frame may still be passed.
func (d *Decoder) Frame(frame []byte) (fresh bool, err error) {
	if d.err != nil {
		return false, d.err
	}
	if len(d.body) > 0 || d.trailer != nil && !d.ended {
		return false, fault(ReasonUnread, d.number, "the frame was not read to its end")
	}
	flags, number, err := header(frame)
	if err != nil {
		return false, d.fail(err)
	}
	if number <= d.number {
		return false, nil
	}
	if d.ended {
		return false, d.fail(fault(ReasonAfterEnd, number, "the edge ended at frame %d", d.number))
	}
	if number != d.number+1 {
		return false, fault(ReasonGap, number, "frame %d is missing", d.number+1)
	}
	return true, d.begin(frame[HeaderSize:], flags, number)
}

func header(frame []byte) (flags byte, number uint64, err error) {
	if len(frame) < HeaderSize {
		return 0, 0, fault(ReasonShort, 0, "a frame of %d bytes has no complete header", len(frame))
	}
	flags, number = frame[1], binary.BigEndian.Uint64(frame[2:])
	if frame[0] != Version {
		return 0, 0, fault(ReasonVersion, number, "version %d, not %d", frame[0], Version)
	}
	if flags&^FlagEnd != 0 {
		return 0, 0, fault(ReasonFlags, number, "unknown flags %#x", flags)
	}
	if number == 0 {
		return 0, 0, fault(ReasonNumber, 0, "frames are numbered from 1, this one has 0")
	}
	return flags, number, nil
}

func (d *Decoder) begin(body []byte, flags byte, number uint64) error {
	d.number = number
	if flags&FlagEnd != 0 {
		cut := len(body) - TrailerSize
		if cut < 0 {
			return d.fault(ReasonShort, "END with %d bytes has no complete trailer", len(body))
		}
		body, d.trailer = body[:cut], body[cut:]
	} else if len(body) == 0 {
		return d.fault(ReasonEmpty, "neither a chunk nor END")
	}
	d.body = body
	d.crc = crc32.Update(d.crc, crc32.IEEETable, body)
	return nil
}

// Next returns the next record that the current frame completes. It reports false at the end of the frame:
// then pass the next one to Frame, unless Ended. The record is borrowed: it is part of the frame, or of
// the decoder's own storage, and valid until the next call of Frame.
func (d *Decoder) Next() (record []byte, ok bool, err error) {
	if d.err != nil {
		return nil, false, d.err
	}
	for len(d.body) > 0 {
		p, more, err := d.chunk()
		if err != nil {
			return nil, false, err
		}
		if record, ok := d.join(p, more); ok {
			d.records++
			d.octets += uint64(len(record))
			return record, true, nil
		}
	}
	d.release()
	if d.trailer != nil && !d.ended {
		return nil, false, d.finish()
	}
	return nil, false, nil
}

// chunk splits the next chunk off the body.
func (d *Decoder) chunk() (p []byte, more bool, err error) {
	head, n := binary.Uvarint(d.body)
	if n <= 0 || n > 1 && d.body[n-1] == 0 {
		return nil, false, d.fault(ReasonVarint, "a length is truncated, over-long or too large")
	}
	length, more, rest := head>>1, head&1 != 0, d.body[n:]
	held := 0
	if d.open {
		held = len(d.joined)
	}
	switch {
	case length > uint64(len(rest)):
		return nil, false, d.fault(ReasonLength, "a chunk of %d bytes where %d are left",
			length, len(rest))
	case more && length == 0:
		return nil, false, d.fault(ReasonNoProgress, "an empty chunk has the flag more")
	case more && length < uint64(len(rest)):
		return nil, false, d.fault(ReasonMore, "a chunk with the flag more is not the last")
	case length > uint64(d.limit-held):
		return nil, false, d.fault(ReasonTooLong, "a record of more than %d bytes", d.limit)
	}
	d.body = rest[length:]
	return rest[:length:length], more, nil
}

// join returns the record that p completes. Records within one frame are not copied.
func (d *Decoder) join(p []byte, more bool) ([]byte, bool) {
	if d.stable = !d.open && !more; d.stable {
		return p, true
	}
	if !d.open {
		// The last record may still be borrowed.
		d.joined, d.before = d.before[:0], d.joined
	}
	d.joined, d.open = append(d.joined, p...), more
	return d.joined, !more
}

// Stable reports whether the last record is part of its frame. Otherwise its storage is reused for the second of
// the following records that are split over frames.
func (d *Decoder) Stable() bool { return d.stable }

// release releases large storage of joined records that were read.
func (d *Decoder) release() {
	if d.open {
		return
	}
	if cap(d.joined) > keepJoined {
		d.joined = nil
	}
	if cap(d.before) > keepJoined {
		d.before = nil
	}
}

func (d *Decoder) finish() error {
	records := binary.BigEndian.Uint64(d.trailer)
	octets := binary.BigEndian.Uint64(d.trailer[8:])
	sum := binary.BigEndian.Uint32(d.trailer[16:])
	switch {
	case d.open:
		return d.fault(ReasonCut, "the edge ends inside a record")
	case records != d.records || octets != d.octets:
		return d.fault(ReasonTotals, "%d records of %d bytes sent, %d of %d received",
			records, octets, d.records, d.octets)
	case sum != d.crc:
		return d.fault(ReasonChecksum, "checksum %08x sent, %08x received", sum, d.crc)
	}
	d.ended = true
	return nil
}

func (d *Decoder) fault(r Reason, format string, args ...any) error {
	return d.fail(fault(r, d.number, format, args...))
}

func (d *Decoder) fail(err error) error {
	d.err, d.body, d.joined = err, nil, nil
	return err
}
