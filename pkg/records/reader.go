package records

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// byteOrderMark is the byte-order mark in UTF-8. At the start of a text it is ignored.
var byteOrderMark = []byte("\ufeff")

// A Reader reads the records of one file.
//
// A line ends with "\n" or "\r\n", the last one also with the end of the file; neither is part of
// the record.
type Reader struct {
	// Lenient accepts records that Check would report.
	Lenient bool

	in       io.Reader
	format   Format
	typename string
	lines    *bufio.Scanner
	begun    bool // the byte-order mark was checked
	line     int
	over     bool
}

// NewReader returns a reader for records of the typename.
func NewReader(in io.Reader, f Format, typename string) *Reader {
	r := &Reader{in: in, format: f, typename: typename}
	if f != Whole {
		r.lines = bufio.NewScanner(in)
		r.lines.Buffer(nil, LineLimit+len("\r\n")+1)
		r.lines.Split(r.split)
	}
	return r
}

// Next returns the next record, which the caller owns. After the last one it returns io.EOF.
func (r *Reader) Next() ([]byte, error) {
	if r.over {
		return nil, io.EOF
	}
	if r.format == Whole {
		r.over = true
		return r.whole()
	}
	record, err := r.nextLine()
	r.over = err != nil
	return record, err
}

func (r *Reader) nextLine() ([]byte, error) {
	if !r.lines.Scan() {
		err := r.lines.Err()
		switch {
		case err == nil:
			return nil, io.EOF
		case errors.Is(err, bufio.ErrTooLong):
			return nil, r.tooLong()
		}
		return nil, err
	}
	r.line++
	if len(r.lines.Bytes()) > LineLimit {
		r.line--
		return nil, r.tooLong()
	}
	record, err := r.format.parse(r.lines.Bytes(), r.typename)
	if err == nil {
		err = r.check(record)
	}
	if err != nil {
		return nil, fmt.Errorf("line %d: %w", r.line, err)
	}
	return record, nil
}

func (r *Reader) tooLong() error {
	return fmt.Errorf("line %d is longer than the limit of %d bytes", r.line+1, LineLimit)
}

// split is bufio.ScanLines without the byte-order mark.
func (r *Reader) split(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if !r.begun {
		if !atEOF && len(data) < len(byteOrderMark) && bytes.HasPrefix(byteOrderMark, data) {
			return 0, nil, nil // more bytes are needed
		}
		r.begun = true
		if bytes.HasPrefix(data, byteOrderMark) {
			return len(byteOrderMark), nil, nil
		}
	}
	return bufio.ScanLines(data, atEOF)
}

func (r *Reader) whole() ([]byte, error) {
	var b bytes.Buffer
	if size, ok := sizeOf(r.in); ok {
		b.Grow(int(min(size, FileLimit)) + bytes.MinRead)
	}
	if _, err := b.ReadFrom(io.LimitReader(r.in, FileLimit+1)); err != nil {
		return nil, err
	}
	record := b.Bytes()
	if len(record) > FileLimit {
		return nil, errTooLarge
	}
	if IsText(r.typename) {
		record = bytes.TrimPrefix(record, byteOrderMark)
	}
	return record, r.check(record)
}

// sizeOf returns the size of a regular file.
func sizeOf(in io.Reader) (int64, bool) {
	f, ok := in.(*os.File)
	if !ok {
		return 0, false
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return 0, false
	}
	return info.Size(), true
}

var errTooLarge = fmt.Errorf("the file is larger than the limit of a record, %d bytes", FileLimit)

func (r *Reader) check(record []byte) error {
	if r.Lenient {
		return nil
	}
	err := Check(r.typename, record)
	if err != nil && r.line <= 1 && isUTF16(record) {
		err = fmt.Errorf("%w (this looks like UTF-16: convert the file to UTF-8)", err)
	}
	return err
}

// isUTF16 reports whether a text starts with the byte-order mark of UTF-16.
func isUTF16(text []byte) bool {
	return bytes.HasPrefix(text, []byte{0xff, 0xfe}) || bytes.HasPrefix(text, []byte{0xfe, 0xff})
}
