package edge

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/stream"
	"github.com/dagyo/dagyo/pkg/wire"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	// limit ends a test that hangs.
	limit = 30 * time.Second
	// testWindow is small, so little data fills it.
	testWindow = 64 << 10
	testFrames = 64
)

// fatal is the part of testing.TB that rapid.T also has.
type fatal interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// A broker is a nats-server with JetStream that can be restarted on its port.
type broker struct {
	t    testing.TB
	opts server.Options

	mu  sync.Mutex // kick and restart may be concurrent
	srv *server.Server
}

func startBroker(t testing.TB) *broker {
	t.Helper()
	b := &broker{t: t, opts: server.Options{
		Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(),
		NoSigs: true, NoLog: true, JetStreamMaxMemory: 1 << 30, JetStreamMaxStore: 4 << 30,
	}}
	b.start()
	t.Cleanup(func() { b.stop() })
	return b
}

func (b *broker) start() {
	b.t.Helper()
	opts := b.opts
	srv, err := server.NewServer(&opts)
	if err != nil {
		b.t.Fatal(err)
	}
	srv.Start()
	if !srv.ReadyForConnections(20 * time.Second) {
		b.t.Fatal("the broker did not start")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.srv = srv
	b.opts.Port = opts.Port
}

func (b *broker) stop() {
	b.srv.Shutdown()
	b.srv.WaitForShutdown()
}

// connect opens a connection that reconnects fast and forever.
func (b *broker) connect(extra ...nats.Option) jetstream.JetStream {
	b.t.Helper()
	opts := append([]nats.Option{nats.MaxReconnects(-1),
		nats.ReconnectWait(5 * time.Millisecond), nats.ReconnectJitter(0, 0)}, extra...)
	nc, err := nats.Connect(b.srv.ClientURL(), opts...)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		b.t.Fatal(err)
	}
	return js
}

// kick makes the broker drop a client's connection.
func (b *broker) kick(js jetstream.JetStream) {
	b.mu.Lock()
	srv := b.srv
	b.mu.Unlock()
	if id, err := js.Conn().GetClientID(); err == nil {
		// An error means that the client is already disconnected.
		_ = srv.DisconnectClientByID(id)
	}
}

func address(flow string, n int) contract.Address {
	return contract.EdgeAddress("0", flow, n, testWindow, testFrames, "octets")
}

// A bundle is a broker, a flow of one edge, and a connection for each end.
type bundle struct {
	*broker
	ctx      context.Context
	addr     contract.Address
	out, in  jetstream.JetStream
	observer jetstream.JetStream
	// Replies of these connections. Tests that make a reader or a writer by themselves do without.
	outReplies, inReplies *stream.Replies
}

func setup(t testing.TB, storage jetstream.StorageType) *bundle {
	t.Helper()
	b := startBroker(t)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	e := &bundle{broker: b, ctx: ctx, addr: address("f", 0),
		out: b.connect(), in: b.connect(), observer: b.connect()}
	e.outReplies, e.inReplies = replies(t, e.out), replies(t, e.in)
	createShard(ctx, t, e.observer, storage)
	return e
}

func replies(t testing.TB, js jetstream.JetStream) *stream.Replies {
	t.Helper()
	x, err := stream.NewReplies(js.Conn())
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func createShard(ctx context.Context, t fatal, js jetstream.JetStream, storage jetstream.StorageType) {
	t.Helper()
	if _, err := js.CreateStream(ctx, stream.ShardConfig("0", storage)); err != nil {
		t.Fatal(err)
	}
}

// sealed seals the edges of all tests. Tests that forge messages fail with it: nothing forged opens.
var sealed = flag.Bool("sealed", false, "seal the edges of all tests")

// address is what the ends of the edge get.
func (e *bundle) address() contract.Address {
	if *sealed && e.addr.Salt == "" {
		return withKey(e.addr)
	}
	return e.addr
}

// withKey returns the address of a sealed edge, with a key.
func withKey(a contract.Address) contract.Address {
	a.Salt = "salt"
	return a.WithKey(bytes.Repeat([]byte{7}, wire.KeySize))
}

func (e *bundle) writer(opts ...stream.WriterOption) *stream.Writer {
	e.t.Helper()
	w, err := stream.NewWriter(e.out, e.address(), append(opts, stream.WriteReplies(e.outReplies), stream.WriteAs("writer"))...)
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(w.Abort)
	return w
}

func (e *bundle) reader(opts ...stream.ReaderOption) *stream.Reader {
	e.t.Helper()
	r, err := stream.NewReader(e.in, e.address(), append(opts, stream.ReadReplies(e.inReplies), stream.ReadAs("reader"))...)
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(r.Abort)
	return r
}

func (e *bundle) deleteStream() {
	e.t.Helper()
	if err := e.observer.DeleteStream(e.ctx, e.addr.Stream); err != nil {
		e.t.Fatal(err)
	}
}

func (e *bundle) state() jetstream.StreamState {
	e.t.Helper()
	s, err := e.observer.Stream(e.ctx, e.addr.Stream)
	if err != nil {
		e.t.Fatal(err)
	}
	return s.CachedInfo().State
}

// record returns the i-th record of an edge: its index, and bytes derived from it.
func record(i, size int) []byte {
	b := make([]byte, size)
	var index [8]byte
	binary.BigEndian.PutUint64(index[:], uint64(i))
	copy(b, index[:])
	for j := 8; j < size; j++ {
		b[j] = byte(i + j)
	}
	return b
}

// sendAll sends a record of each size, then the end.
func sendAll(ctx context.Context, w *stream.Writer, sizes []int) error {
	return sendFrom(ctx, w, sizes, 0)
}

// sendFrom is sendAll, starting at record from.
func sendFrom(ctx context.Context, w *stream.Writer, sizes []int, from int) error {
	for i, size := range sizes[from:] {
		if err := w.Send(ctx, record(from+i, size)); err != nil {
			return fmt.Errorf("record %d: %w", from+i, err)
		}
	}
	return w.Close(ctx)
}

// expect reads the records that sendAll sends, starting at record from, and the end.
func expect(ctx context.Context, r *stream.Reader, sizes []int, from int) error {
	for i, size := range sizes[from:] {
		if err := expectOne(ctx, r, from+i, size); err != nil {
			return err
		}
	}
	if _, err := r.Recv(ctx); err != io.EOF { //nolint:errorlint // the contract is ==
		return fmt.Errorf("%w instead of the end", err)
	}
	var octets int64
	for _, size := range sizes {
		octets += int64(size)
	}
	want := contract.Count{Records: int64(len(sizes)), Bytes: octets}
	if got := r.Count(); got != want {
		return fmt.Errorf("count %+v, want %+v", got, want)
	}
	return nil
}

func expectOne(ctx context.Context, r *stream.Reader, i, size int) error {
	got, err := r.Recv(ctx)
	if err != nil {
		return fmt.Errorf("record %d: %w", i, err)
	}
	want := record(i, size)
	if string(got) != string(want) {
		return fmt.Errorf("record %d: got %d bytes, want %d, or the content differs", i, len(got), len(want))
	}
	return nil
}

// start runs f and returns a function that waits for it.
func start(t testing.TB, f func() error) (wait func()) {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return func() {
		t.Helper()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

// fill sends records of a size until the window is full, and returns how many were accepted.
func fill(t testing.TB, e *bundle, w *stream.Writer, size int) int {
	t.Helper()
	for i := 0; ; i++ {
		ctx, cancel := context.WithTimeout(e.ctx, 300*time.Millisecond)
		err := w.Send(ctx, record(i, size))
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			return i
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func repeated(size, n int) []int {
	sizes := make([]int, n)
	for i := range sizes {
		sizes[i] = size
	}
	return sizes
}

func mixed(seed uint64, n, most int) []int {
	rnd := rand.New(rand.NewPCG(seed, 1))
	sizes := make([]int, n)
	for i := range sizes {
		sizes[i] = rnd.IntN(most + 1)
	}
	return sizes
}

// storages runs a test on both kinds of storage.
func storages(t *testing.T, test func(t *testing.T, storage jetstream.StorageType)) {
	for name, s := range map[string]jetstream.StorageType{
		"file": jetstream.FileStorage, "memory": jetstream.MemoryStorage,
	} {
		t.Run(name, func(t *testing.T) { test(t, s) })
	}
}
