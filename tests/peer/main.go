// Command peer is the Go side of tests in other languages: a nats-server with Dagyo's streams, and the ends of an edge
// with pkg/stream.
//
//	peer server DIR PORT                 until SIGTERM; prints the URL once it is ready
//	peer flow URL FLOW [memory]          creates a flow with its own stream
//	peer write URL ADDRESS COUNT SIZE    writes COUNT records of SIZE bytes
//	peer read URL ADDRESS [MOST]         reads to the end, or closes early after MOST records
//
// ADDRESS is an address as JSON. Record n is its number in eight bytes, big-endian, followed by bytes of value n mod
// 251; read checks that. write and read print the counts of records and bytes as JSON.
package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/joblog"
	"github.com/dagyo/dagyo/pkg/stream"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("see the comment in main.go for the usage")

func run(ctx context.Context, args []string) error {
	if len(args) < 3 {
		return errUsage
	}
	if args[0] == "server" {
		return serve(ctx, args[1], args[2])
	}
	link, err := broker.Connect(ctx, broker.Options{URL: args[1], Name: "peer", Wait: 10 * time.Second})
	if err != nil {
		return err
	}
	defer link.Close()
	switch {
	case args[0] == "flow" && len(args) >= 3:
		return flow(ctx, link.JS, args[2], len(args) > 3)
	case args[0] == "write" && len(args) == 5:
		return write(ctx, link.JS, args[2:])
	case args[0] == "read":
		return read(ctx, link.JS, args[2:])
	}
	return errUsage
}

func serve(ctx context.Context, dir, port string) error {
	n, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: n, NoSigs: true, NoLog: true, JetStream: true, StoreDir: dir,
	})
	if err != nil {
		return err
	}
	s.Start()
	defer func() { s.Shutdown(); s.WaitForShutdown() }()
	if !s.ReadyForConnections(20 * time.Second) {
		return errors.New("the server does not start")
	}
	link, err := broker.Connect(ctx, broker.Options{URL: s.ClientURL(), Name: "peer", Wait: 10 * time.Second})
	if err != nil {
		return err
	}
	defer link.Close()
	if err := broker.Ensure(ctx, link, broker.DefaultConfig(), joblog.StreamConfig(1, joblog.DefaultLimits())); err != nil {
		return err
	}
	fmt.Println(s.ClientURL())
	<-ctx.Done()
	return nil
}

// flow creates a flow with its own shard.
func flow(ctx context.Context, js jetstream.JetStream, name string, memory bool) error {
	storage := jetstream.FileStorage
	if memory {
		storage = jetstream.MemoryStorage
	}
	_, err := js.CreateStream(ctx, stream.ShardConfig(name, storage))
	if err == nil {
		_, err = js.Publish(ctx, contract.StopSubject(name, name), []byte(contract.Running))
	}
	return err
}

// fill writes record n to b.
func fill(b []byte, n uint64) {
	for i := range b {
		b[i] = byte(n % 251)
	}
	if len(b) >= 8 {
		binary.BigEndian.PutUint64(b, n)
	}
}

func write(ctx context.Context, js jetstream.JetStream, args []string) error {
	var addr contract.Address
	if err := json.Unmarshal([]byte(args[0]), &addr); err != nil {
		return err
	}
	count, err := strconv.ParseUint(args[1], 10, 64)
	if err != nil {
		return err
	}
	size, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	w, err := stream.NewWriter(js, addr)
	if err != nil {
		return err
	}
	defer w.Abort()
	record := make([]byte, size)
	for n := range count {
		fill(record, n)
		if err = w.Send(ctx, record); err != nil {
			break
		}
	}
	if err == nil {
		err = w.Close(ctx)
	}
	if err != nil && !errors.Is(err, stream.ErrReaderClosed) {
		return err
	}
	return tell(w.Count())
}

func read(ctx context.Context, js jetstream.JetStream, args []string) error {
	var addr contract.Address
	if err := json.Unmarshal([]byte(args[0]), &addr); err != nil {
		return err
	}
	most := int64(-1)
	if len(args) > 1 {
		var err error
		if most, err = strconv.ParseInt(args[1], 10, 64); err != nil {
			return err
		}
	}
	r, err := stream.NewReader(js, addr)
	if err != nil {
		return err
	}
	defer r.Abort()
	for n := int64(0); n != most; n++ {
		record, err := r.Recv(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		want := make([]byte, len(record))
		fill(want, uint64(n))
		if string(record) != string(want) {
			return fmt.Errorf("record %d differs from the written one", n)
		}
	}
	if err := r.Close(ctx); err != nil {
		return err
	}
	return tell(r.Count())
}

func tell(c contract.Count) error {
	b, err := json.Marshal(c)
	if err == nil {
		fmt.Println(string(b))
	}
	return err
}
