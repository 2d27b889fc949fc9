package wire

import "encoding/binary"

// A Sampler gets records from some frames in the middle of an edge, which a Decoder rejects: only what is whole. It joins
// the parts of a record if their frames follow each other, up to a limit. It checks neither totals nor the checksum. It is
// not safe for concurrent use.
type Sampler struct {
	limit int
	last  uint64
	// begins is true if the next chunk is the beginning of a record.
	begins bool
	part   []byte // of a record that continues
	long   bool   // it is above the limit
}

// NewSampler makes a sampler that leaves out records of more than limit bytes.
func NewSampler(limit int) *Sampler { return &Sampler{limit: limit, begins: true} }

// Records returns the records that a frame completes. They are copies. What is no frame has none.
func (s *Sampler) Records(frame []byte) (records [][]byte) {
	number := Number(frame)
	if number == 0 || frame[0] != Version {
		return nil
	}
	if number != s.last+1 {
		s.begins = number == 1
		s.part, s.long = nil, false
	}
	s.last = number
	rest := frame[HeaderSize:]
	if Ends(frame) {
		rest = rest[:max(0, len(rest)-TrailerSize)]
	}
	for len(rest) > 0 {
		head, n := binary.Uvarint(rest)
		if length := head >> 1; n <= 0 || length > uint64(len(rest)-n) {
			s.begins = false
			return records
		}
		chunk := rest[n : n+int(head>>1)] //nolint:gosec // it is at most len(rest)
		rest = rest[n+len(chunk):]
		if more := head&1 != 0; s.add(chunk, more) {
			records = append(records, s.part)
			s.part = nil
		}
	}
	return records
}

// add adds a chunk to the current record, and reports whether that is complete.
func (s *Sampler) add(chunk []byte, more bool) (complete bool) {
	if !s.begins && s.part == nil { // a part of a record that began before
		s.begins = !more
		return false
	}
	if s.part == nil {
		s.part = make([]byte, 0, len(chunk))
	}
	if s.long = s.long || len(s.part)+len(chunk) > s.limit; !s.long {
		s.part = append(s.part, chunk...)
	}
	s.begins = !more
	if more {
		return false
	}
	if s.long {
		s.part, s.long = nil, false
		return false
	}
	return true
}
