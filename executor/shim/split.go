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
	// chunk is how much is read at once, in octets.
	chunk = 64 << 10
	// keep is the largest buffer that is kept for records to come.
	keep = 1 << 20
	// RecordLimit is the longest record that a command may write, in octets.
	RecordLimit = 64 << 20
	// lengthOctets is how many octets hold a length.
	lengthOctets = 4
)

// A finder looks for the first record of data, whose first seen octets were looked at before. It
// returns the record and how many octets it takes with its frame, 0 if there is no whole one; a nil
// record is passed over. At the end of the stream what is left is the last record.
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

// line ends a record with "\n" or "\r\n", as files of records have it; at the end of the stream with either, or
// neither.
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
			return nil, 0, fmt.Errorf("its length is %d octets: at most %d are taken", size, RecordLimit)
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

// wholeCharacters leaves a character that has only begun for the next record.
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
	begin int // what is at hand is buf[begin:end]
	end   int
	seen  int // octets of it that hold no whole record
	last  bool
	batch [][]byte
	count int64 // records so far
}

func newSplitter(r io.Reader, find finder) *splitter {
	return &splitter{r: r, find: find, buf: make([]byte, chunk)}
}

// next returns the records that are at hand, at least one, valid until the next call; io.EOF after the
// last. With another error come those before it; it is about the record of number count.
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

// split puts the whole records at hand into the batch.
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

// makeRoom moves what is at hand to the front, into a larger buffer if it fills this one.
func (s *splitter) makeRoom() error {
	rest := s.buf[s.begin:s.end]
	size := len(s.buf)
	switch {
	case len(rest) > RecordLimit+lengthOctets:
		return fmt.Errorf("it is longer than %d octets", RecordLimit)
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
