package std

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// spillBuffer is the size of the buffer for each run that is read or written, in bytes.
const spillBuffer = 64 << 10

// A spill keeps runs of entries in a temporary file, which no name leads to: it is gone with the process at the latest.
type spill struct {
	limit int64

	file *os.File // nil until something is written
	ends []int64  // of each run in the file
}

// write appends a run.
func (s *spill) write(entries []entry) error {
	if s.file == nil {
		if err := s.open(); err != nil {
			return fmt.Errorf("cannot make a temporary file: %w", err)
		}
	}
	w := bufio.NewWriterSize(s.file, spillBuffer)
	size := s.size()
	for _, e := range entries {
		for _, part := range [][]byte{e.keyText, e.record} {
			length := binary.AppendUvarint(nil, uint64(len(part)))
			if size += int64(len(length) + len(part)); size > s.limit {
				return fmt.Errorf("the input is larger than %d bytes, which is the maximum of sort: use smaller inputs", s.limit)
			}
			if _, err := w.Write(append(length, part...)); err != nil {
				return cannotWrite(err)
			}
		}
	}
	if err := w.Flush(); err != nil {
		return cannotWrite(err)
	}
	s.ends = append(s.ends, size)
	return nil
}

func cannotWrite(err error) error {
	return fmt.Errorf("cannot write the temporary file of sort: %w", err)
}

// size returns the size of the file, in bytes.
func (s *spill) size() int64 {
	if len(s.ends) == 0 {
		return 0
	}
	return s.ends[len(s.ends)-1]
}

// open creates the file, and removes its name.
func (s *spill) open() error {
	file, err := os.CreateTemp("", "dagyo-sort-")
	if err != nil {
		return err
	}
	if err := os.Remove(file.Name()); err != nil {
		return errors.Join(err, file.Close())
	}
	s.file = file
	return nil
}

// runs returns the runs in the file, in the order in which they were written.
func (s *spill) runs() []run {
	var out []run
	var from int64
	for _, end := range s.ends {
		r := bufio.NewReaderSize(io.NewSectionReader(s.file, from, end-from), spillBuffer)
		out = append(out, func() (entry, error) { return readEntry(r) })
		from = end
	}
	return out
}

// readEntry returns the next entry of a run, or io.EOF.
func readEntry(r *bufio.Reader) (e entry, err error) {
	if e.keyText, err = readPart(r); errors.Is(err, io.EOF) {
		return e, io.EOF
	}
	if err == nil {
		e.record, err = readPart(r)
	}
	if err != nil {
		return e, fmt.Errorf("cannot read the temporary file of sort: %w", noEOF(err))
	}
	if len(e.keyText) > 0 {
		e.key, err = keyFromText(e.keyText)
	}
	return e, err
}

// readPart reads a length and as many bytes. It returns io.EOF only if there is no length.
func readPart(r *bufio.Reader) ([]byte, error) {
	length, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, err
	}
	part := make([]byte, length)
	if _, err := io.ReadFull(r, part); err != nil {
		return nil, fmt.Errorf("%d bytes of an entry: %w", length, noEOF(err))
	}
	return part, nil
}

// noEOF returns io.ErrUnexpectedEOF in the place of io.EOF.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// close removes the file.
func (s *spill) close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}
