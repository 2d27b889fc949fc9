package cli

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/dagyo/dagyo/pkg/client"
)

// text prints a text.
func text(s string) func([]byte) []byte {
	return func(dst []byte) []byte { return append(dst, s...) }
}

func TestPrinterWritesEverything(t *testing.T) {
	var out bytes.Buffer
	p := newPrinter("it", &out, func(err error) { t.Error(err) })
	long := strings.Repeat("x", 3*printerBuffer)
	for _, s := range []string{"a\n", long, "", "b\n"} {
		if err := p.print(text(s)); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.close(); err != nil || out.String() != "a\n"+long+"b\n" {
		t.Errorf("wrote %d bytes, %v", out.Len(), err)
	}
}

// failing is a file that fails with an error once it has taken some bytes.
type failing struct {
	left int
	err  error
}

func (f *failing) Write(b []byte) (int, error) {
	n := min(f.left, len(b))
	if f.left -= n; n < len(b) {
		return n, f.err
	}
	return n, nil
}

// An error is delivered without another record, and is the answer to all that come.
func TestPrinterReportsErrors(t *testing.T) {
	failed := make(chan error, 2)
	full := &os.PathError{Op: "write", Path: "/somewhere", Err: syscall.ENOSPC}
	p := newPrinter("it", &failing{left: 3, err: full}, func(err error) { failed <- err })
	if err := p.print(text("record\n")); err != nil {
		t.Fatal(err)
	}
	err := <-failed
	if want := "cannot write it: no space left on device"; !errors.Is(err, syscall.ENOSPC) || err.Error() != want {
		t.Errorf("got %v", err)
	}
	if again := p.print(text("more")); again != err {
		t.Errorf("the next record: %v", again)
	}
	if again := p.close(); again != err {
		t.Errorf("the end: %v", again)
	}
}

func TestPrinterHasEnoughWhenNobodyReads(t *testing.T) {
	gone := &os.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.EPIPE}
	p := newPrinter("it", &failing{left: 100, err: gone}, func(err error) { t.Error(err) })
	var err error
	for err == nil {
		err = p.print(text("record\n"))
	}
	if !errors.Is(err, client.ErrEnough) {
		t.Errorf("got %v", err)
	}
	if err := p.close(); err != nil {
		t.Errorf("the end: %v", err)
	}
}

// blocked takes nothing until it is released.
type blocked struct{ entered, release chan struct{} }

func (b blocked) Write(p []byte) (int, error) {
	close(b.entered)
	<-b.release
	return len(p), nil
}

// While a write blocks, records are taken up to a bound, and an abandoned printer lets everybody go.
func TestPrinterDoesNotBlockWithItsWriter(t *testing.T) {
	w := blocked{make(chan struct{}), make(chan struct{})}
	p := newPrinter("it", w, func(error) {})
	if err := p.print(text("first")); err != nil {
		t.Fatal(err)
	}
	<-w.entered
	if err := p.print(text(strings.Repeat("x", printerBuffer))); err != nil {
		t.Fatal(err)
	}
	var waiting sync.WaitGroup
	for range 4 {
		waiting.Go(func() {
			if err := p.print(text("too much")); !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("got %v", err)
			}
		})
	}
	p.abandon(io.ErrClosedPipe)
	waiting.Wait()
	close(w.release)
	if err := p.close(); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the end: %v", err)
	}
}
