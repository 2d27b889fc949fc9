package shim

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

const (
	// chunk is the size of one read, in bytes.
	chunk = 64 << 10
	// keep is the largest buffer kept for later records.
	keep = 1 << 20
	// RecordLimit is the maximum length of a record that a command writes, in bytes.
	RecordLimit = 64 << 20
	// lengthOctets is the size of a length, in bytes.
	lengthOctets = 4
)

// A finder finds the first record in data, whose first seen bytes were examined before. It returns the
// record and its size including the frame, 0 if there is no whole record; a nil record is skipped. At the
// end of the stream, the remaining bytes are the last record.
type finder func(data []byte, seen int, end bool) (record []byte, size int, err error)

func (f Framing) finder(typename string) finder {
	switch f {
	case Lines:
		return line
	case Nul:
		return endedBy(0)
	case Length:
		return byLength
	case JSONLines:
		return jsonLine
	}
	if typename == text {
		return wholeCharacters
	}
	return everything
}

func endedBy(end byte) finder {
	return func(data []byte, seen int, last bool) ([]byte, int, error) {
		if i := bytes.IndexByte(data[seen:], end); i >= 0 {
			return data[: seen+i : seen+i], seen + i + 1, nil
		}
		if last {
			return data, len(data), nil
		}
		return nil, 0, nil
	}
}

// line splits records at "\n" or "\r\n", as in files of records; the last record of the stream may end with
// either or neither.
func line(data []byte, seen int, last bool) ([]byte, int, error) {
	record, size, err := endedBy('\n')(data, seen, last)
	if n := len(record); n > 0 && record[n-1] == '\r' {
		record = record[: n-1 : n-1]
	}
	return record, size, err
}

func jsonLine(data []byte, seen int, last bool) ([]byte, int, error) {
	line, size, err := endedBy('\n')(data, seen, last)
	if line = bytes.TrimSpace(line); len(line) == 0 {
		line = nil
	}
	return line, size, err
}

func byLength(data []byte, _ int, last bool) ([]byte, int, error) {
	if len(data) >= lengthOctets {
		size := uint64(binary.BigEndian.Uint32(data))
		if size > RecordLimit {
			return nil, 0, fmt.Errorf("its length is %d bytes; the limit is %d", size, RecordLimit)
		}
		if end := lengthOctets + int(size); len(data) >= end {
			return data[lengthOctets:end:end], end, nil
		}
	}
	if last {
		return nil, 0, errors.New("the output ends inside it")
	}
	return nil, 0, nil
}

func everything(data []byte, _ int, _ bool) ([]byte, int, error) { return data, len(data), nil }

// wholeCharacters leaves an incomplete character for the next record.
func wholeCharacters(data []byte, _ int, last bool) ([]byte, int, error) {
	n := len(data)
	for i := n - 1; i >= max(n-utf8.UTFMax+1, 0) && !last; i-- {
		if utf8.RuneStart(data[i]) {
			if !utf8.FullRune(data[i:]) {
				n = i
			}
			break
		}
	}
	return data[:n:n], n, nil
}

// A splitter reads records.
type splitter struct {
	r     io.Reader
	find  finder
	buf   []byte
	begin int // buf[begin:end] is unread
	end   int
	seen  int // bytes of it without a whole record
	last  bool
	batch [][]byte
	count int64 // records so far
}

func newSplitter(r io.Reader, find finder) *splitter {
	return &splitter{r: r, find: find, buf: make([]byte, chunk)}
}

// next returns the available records, at least one, valid until the next call; io.EOF after the last. With
// any other error it returns the records before the error, which is about record number count.
func (s *splitter) next() ([][]byte, error) {
	s.batch = s.batch[:0]
	for {
		err := s.split()
		if len(s.batch) > 0 || err != nil {
			return s.batch, err
		}
		if s.last {
			return nil, io.EOF
		}
		if err := s.fill(); err != nil {
			return nil, err
		}
	}
}

// split moves whole records into the batch.
func (s *splitter) split() error {
	for s.begin < s.end {
		record, size, err := s.find(s.buf[s.begin:s.end], s.seen, s.last)
		if err != nil {
			return err
		}
		if size == 0 {
			s.seen = s.end - s.begin
			return nil
		}
		s.begin, s.seen = s.begin+size, 0
		if record != nil {
			s.batch = append(s.batch, record)
			s.count++
		}
	}
	return nil
}

// fill reads once.
func (s *splitter) fill() error {
	if err := s.makeRoom(); err != nil {
		return err
	}
	n, err := s.r.Read(s.buf[s.end:])
	s.end += n
	if errors.Is(err, io.EOF) {
		s.last, err = true, nil
	}
	return err
}

// makeRoom moves the unread bytes to the front, into a larger buffer if they fill this one.
func (s *splitter) makeRoom() error {
	rest := s.buf[s.begin:s.end]
	size := len(s.buf)
	switch {
	case len(rest) > RecordLimit+lengthOctets:
		return fmt.Errorf("it is longer than %d bytes", RecordLimit)
	case len(rest) == size:
		size *= 2
	case size > keep && len(rest) < chunk/2:
		size = chunk
	}
	buf := s.buf
	if size != len(s.buf) {
		buf = make([]byte, size)
	}
	s.begin, s.end, s.buf = 0, copy(buf, rest), buf
	return nil
}
