package worker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"

	"github.com/dagyo/dagyo/pkg/wire"
	"github.com/dagyo/dagyo/tests/bench/internal/role"
)

// besideSubject is what frames are sealed for in the trial of edges beside the broker.
const besideSubject = "direct.trial"

// besideShare is the part of the window after which the reader gives credit: a quarter of the direct window's eighth.
const besideShare = 32

// A beside is one end of an edge whose frames go over a connection of its own, each behind its length: the frames, the
// window and the checksum of package wire, without a broker. It is a trial for the decision whether edges should have
// that way (ADR 44), not an edge.
type beside struct {
	conn   net.Conn
	seal   *wire.Seal
	sealed []byte // storage of the writer
}

func newBeside(conn net.Conn, key []byte) (*beside, error) {
	b := &beside{conn: conn}
	if len(key) == 0 {
		return b, nil
	}
	var err error
	b.seal, err = wire.NewSeal(key)
	return b, err
}

func network(l Load) (string, string) {
	if l.Listen[0] == '@' || l.Listen[0] == '/' {
		return "unix", l.Listen
	}
	return "tcp", l.Listen
}

// besideSend writes frames to the connection, and holds to the window.
func besideSend(_ context.Context, l Load) (prepared, error) {
	kind, address := network(l)
	conn, err := net.Dial(kind, address)
	if err != nil {
		return prepared{}, err
	}
	b, err := newBeside(conn, l.Key)
	if err != nil {
		return prepared{}, errors.Join(err, conn.Close())
	}
	return prepared{end: func() { _ = conn.Close() }, run: func(ctx context.Context, _ *role.Session) (Result, error) {
		stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
		defer stop()
		return b.send(l)
	}}, nil
}

func (b *beside) send(l Load) (Result, error) {
	var consumed atomic.Int64
	moved := make(chan struct{}, 1)
	ended := make(chan error, 1)
	go func() { ended <- b.credits(&consumed, moved) }()

	m, record := newMeter(l), newRecord(l)
	enc := wire.NewEncoder(l.Frame, 2*l.Frame)
	var written int64
	var held, free []heldFrame // as an edge holds what it may have to send another way
	put := func(frame []byte) error {
		for written-consumed.Load()+int64(len(frame)) > l.Window/4 {
			select {
			case <-moved:
			case err := <-ended:
				return errors.Join(io.ErrUnexpectedEOF, err)
			}
		}
		written += int64(len(frame))
		held = append(held, heldFrame{frame, written})
		n := 0
		for n < len(held) && held[n].until <= consumed.Load() {
			n++
		}
		free = append(free, held[:n]...)
		held = append(held[:0], held[n:]...)
		return b.write(frame)
	}
	storage := func() (s []byte) {
		if n := len(free); n > 0 {
			s, free = free[n-1].octets, free[:n-1]
		}
		return s
	}
	for !m.over() {
		stamp(l, record)
		for rest, done := record, false; !done; {
			var n int
			n, done = enc.Append(rest)
			if rest = rest[n:]; !done || enc.Full() || l.Gap > 0 {
				if err := put(enc.Take(storage())); err != nil {
					return Result{}, err
				}
			}
		}
		m.add(l.Size)
	}
	r := m.done()
	last, err := enc.Finish()
	if err == nil {
		err = put(last)
	}
	return r, errors.Join(err, <-ended)
}

// A heldFrame is consumed when as many bytes are as were written with it.
type heldFrame struct {
	octets []byte
	until  int64
}

func (b *beside) write(frame []byte) error {
	if b.seal != nil {
		b.sealed = b.seal.Append(b.sealed[:0], besideSubject, frame)
		frame = b.sealed
	}
	head := binary.BigEndian.AppendUint32(nil, uint32(len(frame)))
	both := net.Buffers{head, frame}
	_, err := both.WriteTo(b.conn)
	return err
}

// credits reads how many bytes of frames the reader has consumed, until it closes the connection.
func (b *beside) credits(consumed *atomic.Int64, moved chan struct{}) error {
	var buf [8]byte
	for {
		if _, err := io.ReadFull(b.conn, buf[:]); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		consumed.Store(int64(binary.BigEndian.Uint64(buf[:])))
		select {
		case moved <- struct{}{}:
		default:
		}
	}
}

// besideRecv accepts one connection, and reads it to the end of the edge.
func besideRecv(_ context.Context, l Load) (prepared, error) {
	kind, address := network(l)
	listener, err := net.Listen(kind, address)
	if err != nil {
		return prepared{}, err
	}
	return prepared{end: func() { _ = listener.Close() }, run: func(ctx context.Context, _ *role.Session) (Result, error) {
		stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
		defer stop()
		conn, err := listener.Accept()
		if err != nil {
			return Result{}, err
		}
		defer conn.Close()
		b, err := newBeside(conn, l.Key)
		if err != nil {
			return Result{}, err
		}
		return b.recv(l)
	}}, nil
}

func (b *beside) recv(l Load) (Result, error) {
	m := newMeter(l)
	dec := wire.NewDecoder(0)
	storage := make([]byte, 2*l.Frame+wire.SealSize)
	var consumed, given int64
	for !dec.Ended() {
		frame, err := b.read(storage)
		if err != nil {
			return Result{}, err
		}
		if fresh, err := dec.Frame(frame); err != nil || !fresh {
			return Result{}, fmt.Errorf("frame after %d: repeated, or %v", dec.Number(), err)
		}
		for {
			record, ok, err := dec.Next()
			if err != nil {
				return Result{}, err
			}
			if !ok {
				break
			}
			m.delay(record)
			m.add(len(record))
		}
		consumed += int64(len(frame))
		if consumed-given >= l.Window/besideShare {
			given = consumed
			if _, err := b.conn.Write(binary.BigEndian.AppendUint64(nil, uint64(consumed))); err != nil {
				return Result{}, err
			}
		}
	}
	return m.done(), nil
}

func (b *beside) read(storage []byte) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(b.conn, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if int(n) > len(storage) {
		return nil, fmt.Errorf("a frame of %d bytes, more than %d", n, len(storage))
	}
	if _, err := io.ReadFull(b.conn, storage[:n]); err != nil {
		return nil, err
	}
	if b.seal == nil {
		return storage[:n], nil
	}
	frame, ok := b.seal.Open(besideSubject, storage[:n])
	if !ok {
		return nil, errors.New("a frame that does not open")
	}
	return frame, nil
}
