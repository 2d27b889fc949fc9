package wire

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// ErrOpenRecord is returned by Finish if a record was appended only in part.
var ErrOpenRecord = errors.New("an edge cannot end inside a record")

// An Encoder packs records into frames, numbered from 1. It is not safe for concurrent use.
//
// A frame grows until it is taken. It is full at the target size, or if the next record would have to be
// split but fits into a frame of its own: only records above the limit are ever split, so readers seldom
// have to join.
type Encoder struct {
	target, limit   int
	buf             []byte
	number          uint64
	records, octets uint64
	crc             uint32
	open            bool
}

// NewEncoder makes an encoder whose frames are full at target bytes and never longer than limit.
// A limit below target+64 bytes is raised to that.
func NewEncoder(target, limit int) *Encoder {
	target = max(target, HeaderSize+1)
	e := &Encoder{target: target, limit: max(limit, target+64)}
	e.begin(nil)
	return e
}

func (e *Encoder) begin(storage []byte) {
	e.buf = append(storage[:0], make([]byte, HeaderSize)...)
}

// Empty reports whether the frame has no chunk yet.
func (e *Encoder) Empty() bool { return len(e.buf) == HeaderSize }

// Full reports whether the frame has reached the target size.
func (e *Encoder) Full() bool { return len(e.buf) >= e.target }

// Size is the current size of the frame in bytes, without a trailer.
func (e *Encoder) Size() int { return len(e.buf) }

// Append copies bytes of one record into the frame. It returns how many it copied, and whether the record
// is complete. If it is not, the frame is full: Take it, then Append the rest.
func (e *Encoder) Append(rest []byte) (n int, done bool) {
	if e.Full() {
		return 0, false
	}
	room := e.limit - TrailerSize - len(e.buf)
	if chunkSize(len(rest)) <= room {
		e.chunk(rest, false)
		return len(rest), true
	}
	if !e.Empty() && chunkSize(len(rest)) <= e.limit-TrailerSize-HeaderSize {
		return 0, false
	}
	n = room - uvarintSize(uint64(room)<<1)
	e.chunk(rest[:n], true)
	return n, false
}

func (e *Encoder) chunk(p []byte, more bool) {
	head := uint64(len(p)) << 1
	if more {
		head |= 1
	} else {
		e.records++
	}
	e.buf = binary.AppendUvarint(e.buf, head)
	e.buf = append(e.buf, p...)
	e.octets += uint64(len(p))
	e.open = more
}

// Take seals the frame and returns it. The next frame uses storage, which the encoder then owns; pass a
// frame that is no longer needed, or nil.
func (e *Encoder) Take(storage []byte) []byte {
	frame := e.seal(0)
	e.begin(storage)
	return frame
}

// Finish seals the last frame: the remaining chunks and the trailer. The encoder cannot be used afterwards.
func (e *Encoder) Finish() ([]byte, error) {
	if e.open {
		return nil, ErrOpenRecord
	}
	frame := e.seal(FlagEnd)
	frame = binary.BigEndian.AppendUint64(frame, e.records)
	frame = binary.BigEndian.AppendUint64(frame, e.octets)
	frame = binary.BigEndian.AppendUint32(frame, e.crc)
	e.begin(nil)
	return frame, nil
}

func (e *Encoder) seal(flags byte) []byte {
	e.number++
	e.crc = crc32.Update(e.crc, crc32.IEEETable, e.buf[HeaderSize:])
	putHeader(e.buf, flags, e.number)
	return e.buf
}

func putHeader(b []byte, flags byte, number uint64) {
	b[0], b[1] = Version, flags
	binary.BigEndian.PutUint64(b[2:], number)
}

func chunkSize(n int) int { return uvarintSize(uint64(n)<<1) + n }

func uvarintSize(v uint64) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}
