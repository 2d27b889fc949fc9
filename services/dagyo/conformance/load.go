package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/stream"
)

// A load is records by their sizes. Each record is text without control characters, so that a program
// that takes lines can take it, and says its place.
type load []int

func repeated(size, n int) load {
	l := make(load, n)
	for i := range l {
		l[i] = size
	}
	return l
}

// varied has sizes from 0 to most, in an order that is always the same.
func varied(n, most int) load {
	l := make(load, n)
	for i := range l {
		l[i] = i * 7919 % (most + 1)
	}
	return l
}

// filling is what records are made of: letters of one to four octets.
const filling = "abcdefghijklmnopqrstuvwxyz ÄÖÜ äöü € 数据流 🌊 0123456789 "

// record is the i-th record, of size octets.
func record(i, size int) []byte {
	b := append(make([]byte, 0, size+len(filling)), strconv.Itoa(i)...)
	for len(b) < size {
		b = append(b, filling...)
	}
	return mended(b[:size], size)
}

// mended replaces a letter that was cut off at the end.
func mended(b []byte, size int) []byte {
	b = bytes.ToValidUTF8(b, nil)
	for len(b) < size {
		b = append(b, '.')
	}
	return b
}

func (l load) count() contract.Count {
	c := contract.Count{Records: int64(len(l))}
	for _, size := range l {
		c.Bytes += int64(size)
	}
	return c
}

func (l load) String() string {
	c := l.count()
	return fmt.Sprintf("%s of %s in all", document.Count(c.Records, "record"), document.Count(c.Bytes, "byte"))
}

// send writes the records, and the end.
func (l load) send(ctx context.Context, w *stream.Writer) error {
	for i, size := range l {
		if err := w.Send(ctx, record(i, size)); err != nil {
			return fmt.Errorf("write record %d to the program's input: %w", i, err)
		}
	}
	if err := w.Close(ctx); err != nil {
		return fmt.Errorf("end the program's input: %w", err)
	}
	return nil
}

// expect reads the records from the i-th on, and the end.
func (l load) expect(ctx context.Context, r *stream.Reader, i int) error {
	for ; i < len(l); i++ {
		if err := l.expectOne(ctx, r, i); err != nil {
			return err
		}
	}
	got, err := r.Recv(ctx)
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return fmt.Errorf("wait for the output's end behind %s: %w", document.Count(len(l), "record"), err)
	}
	return fmt.Errorf("the output has a record of %s behind the %d that were sent", document.Count(len(got), "byte"), len(l))
}

func (l load) expectOne(ctx context.Context, r *stream.Reader, i int) error {
	got, err := r.Recv(ctx)
	switch {
	case errors.Is(err, io.EOF):
		return fmt.Errorf("the output ended behind record %d of %d", i, len(l))
	case err != nil:
		return fmt.Errorf("read record %d of the output: %w", i, err)
	}
	return differs(i, got, record(i, l[i]))
}

// differs says where a record is not the one that was sent.
func differs(i int, got, want []byte) error {
	switch {
	case bytes.Equal(got, want):
		return nil
	case len(got) != len(want):
		return fmt.Errorf("record %d has %s; sent: %d", i, document.Count(len(got), "byte"), len(want))
	}
	at := 0
	for got[at] == want[at] {
		at++
	}
	return fmt.Errorf("record %d of %s differs from byte %d on", i, document.Count(len(want), "byte"), at)
}
