package worker

import (
	"context"
	"errors"
	"io"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/dagyo/dagyo/tests/bench/internal/role"
)

// The reference of edges beside the broker: a stream of gRPC from the sender to the receiver, one message a record, with
// gRPC's own flow control, as somebody would write it who connects two programs by hand.
const (
	grpcService = "bench.Edge"
	grpcMethod  = "Send"
	grpcMax     = 512 << 20
)

var grpcStream = grpc.StreamDesc{StreamName: grpcMethod, ClientStreams: true}

func grpcSend(_ context.Context, l Load) (prepared, error) {
	target := l.Listen
	if kind, address := network(l); kind == "unix" && address[0] == '@' {
		target = "unix-abstract:" + address[1:]
	}
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(grpcMax)))
	if err != nil {
		return prepared{}, err
	}
	return prepared{end: func() { _ = conn.Close() }, run: func(ctx context.Context, _ *role.Session) (Result, error) {
		s, err := conn.NewStream(ctx, &grpcStream, "/"+grpcService+"/"+grpcMethod)
		if err != nil {
			return Result{}, err
		}
		m, record := newMeter(l), newRecord(l)
		for !m.over() {
			stamp(l, record)
			if err := s.SendMsg(wrapperspb.Bytes(record)); err != nil {
				return Result{}, err
			}
			m.add(l.Size)
		}
		r := m.done()
		if err := s.CloseSend(); err != nil {
			return r, err
		}
		return r, s.RecvMsg(new(emptypb.Empty))
	}}, nil
}

func grpcRecv(_ context.Context, l Load) (prepared, error) {
	kind, address := network(l)
	listener, err := net.Listen(kind, address)
	if err != nil {
		return prepared{}, err
	}
	done := make(chan Result, 1)
	server := grpc.NewServer(grpc.MaxRecvMsgSize(grpcMax))
	stream := grpcStream
	stream.Handler = func(_ any, s grpc.ServerStream) error {
		r, err := grpcRead(l, s)
		if err == nil {
			done <- r
		}
		return err
	}
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: grpcService, HandlerType: (*any)(nil), Streams: []grpc.StreamDesc{stream},
	}, nil)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	end := func() { server.GracefulStop(); <-served }
	return prepared{end: end, run: ending(l, done)}, nil
}

func grpcRead(l Load, s grpc.ServerStream) (Result, error) {
	m := newMeter(l)
	for {
		var record wrapperspb.BytesValue
		err := s.RecvMsg(&record)
		if errors.Is(err, io.EOF) {
			return m.done(), s.SendMsg(new(emptypb.Empty))
		}
		if err != nil {
			return Result{}, err
		}
		m.delay(record.Value)
		m.add(len(record.Value))
	}
}
