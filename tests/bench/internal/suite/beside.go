package suite

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/freeport"
	"github.com/dagyo/dagyo/pkg/stream"
	"github.com/dagyo/dagyo/tests/bench/internal/worker"
)

// largeFrame is the size of frames with which the trial carries large records.
const largeFrame = 256 << 10

// besideFigures measure the trial of edges whose frames go from executor to executor, beside the broker.
func (s *Suite) besideFigures() []Figure {
	var all []Figure
	for _, size := range []struct {
		octets int
		name   string
	}{{128, "128 B"}, {64 << 10, "64 KiB"}, {1 << 20, "1 MiB"}} {
		all = append(all, besideRecords(size.octets, size.name))
	}
	return append(all, besideLone())
}

func besideRecords(size int, name string) Figure {
	rate := Octets
	series := func(s string) string { return s + " bytes" }
	if size < 1<<10 {
		rate, series = PerSecond("records"), func(s string) string { return s }
	}
	row := func(what, ours, reference string, goal Goal) Row {
		return Row{what, series(ours), series(reference), rate, goal}
	}
	return Figure{
		Name: "beside " + name,
		How: "A trial, not an edge: the frames, the window and the checksum of `pkg/wire` over a connection from the " +
			"writer's process to the reader's; the writer holds what is not consumed. Its references are the edge " +
			"between two executors through the nats-server process, and a client stream of gRPC in Go, one message a record.",
		Variants: []Variant{
			{"through the broker", sdkEdge("broker", size, false)},
			{"Unix socket", beside("unix", "@", size, stream.DefaultFrameTarget, false)},
			{"Unix socket, large frames", beside("unixLarge", "@", size, largeFrame, false)},
			{"Unix socket, large frames, sealed", beside("unixSealed", "@", size, largeFrame, true)},
			{"TCP, large frames", beside("tcpLarge", "", size, largeFrame, false)},
			{"gRPC, TCP", grpcEdge("grpc", "", size)},
			{"gRPC, Unix socket", grpcEdge("grpcUnix", "@", size)},
		},
		Rows: []Row{
			row("trial by Unix socket, records of "+name+" / through the broker", "unix", "broker", Goal{}),
			row("… with frames of 256 KiB / through the broker", "unixLarge", "broker", Goal{AtLeast: 2, Text: "≥ 2"}),
			row("… with frames of 256 KiB / gRPC by TCP", "unixLarge", "grpc", Goal{}),
			row("… with frames of 256 KiB / gRPC by Unix socket", "unixLarge", "grpcUnix", Goal{}),
			row("… sealed, with frames of 256 KiB / through the broker", "unixSealed", "broker", Goal{}),
			row("trial by TCP with frames of 256 KiB / gRPC by TCP", "tcpLarge", "grpc", Goal{}),
			row("… / through the broker", "tcpLarge", "broker", Goal{AtLeast: 2, Text: "≥ 2"}),
		},
	}
}

func besideLone() Figure {
	lone := func(r *Run, series, recv, send, listen string) (Values, error) {
		l, err := r.listening(listen, 128)
		if err != nil {
			return nil, err
		}
		l.Gap, l.Frame = lonePause, stream.DefaultFrameTarget
		received, _, err := r.pair(nil, recv, send, l, l, nil)
		if err != nil {
			return nil, err
		}
		return delays(series, received), nil
	}
	return Figure{
		Name: "beside lone record",
		How:  "As the lone record of an edge, over the trial's connection.",
		Variants: []Variant{
			{"through the broker", func(r *Run) (Values, error) {
				f, err := r.flow(jetstream.MemoryStorage, 1)
				if err != nil {
					return nil, err
				}
				defer f.end()
				f.pause = lonePause
				received, _, err := f.edges(128, false)
				if err != nil {
					return nil, err
				}
				return delays("broker", received), nil
			}},
			{"Unix socket", func(r *Run) (Values, error) { return lone(r, "unix", "beside-recv", "beside-send", "@") }},
			{"TCP", func(r *Run) (Values, error) { return lone(r, "tcp", "beside-recv", "beside-send", "") }},
			{"gRPC, TCP", func(r *Run) (Values, error) { return lone(r, "grpc", "grpc-recv", "grpc-send", "") }},
		},
		Rows: []Row{
			{"trial by Unix socket, a lone record, one way, p50 / through the broker", "unix p50", "broker p50", Seconds, Goal{AtMost: 0.6, Text: "≤ 0.6"}},
			{"trial by TCP, p50 / through the broker", "tcp p50", "broker p50", Seconds, Goal{AtMost: 0.6, Text: "≤ 0.6"}},
			{"trial by TCP, p50 / gRPC by TCP", "tcp p50", "grpc p50", Seconds, Goal{}},
		},
	}
}

// beside runs the trial between two processes.
func beside(series, listen string, size, frame int, sealed bool) func(*Run) (Values, error) {
	return func(r *Run) (Values, error) {
		l, err := r.listening(listen, size)
		if err != nil {
			return nil, err
		}
		if l.Frame = frame; sealed {
			l.Key = bytes.Repeat([]byte{7}, 32)
		}
		received, sent, err := r.pair(nil, "beside-recv", "beside-send", l, l, nil)
		if err != nil {
			return nil, err
		}
		records, octets := rates(sent, received)
		return Values{series: records, series + " bytes": octets}, nil
	}
}

// grpcEdge runs a stream of gRPC between two processes.
func grpcEdge(series, listen string, size int) func(*Run) (Values, error) {
	return func(r *Run) (Values, error) {
		l, err := r.listening(listen, size)
		if err != nil {
			return nil, err
		}
		received, sent, err := r.pair(nil, "grpc-recv", "grpc-send", l, l, nil)
		if err != nil {
			return nil, err
		}
		records, octets := rates(sent, received)
		return Values{series: records, series + " bytes": octets}, nil
	}
}

// listening is a load for two processes that are connected directly: by a free TCP port of this machine, or by a Unix
// socket whose name is not in the file system if the prefix is @.
func (r *Run) listening(prefix string, size int) (worker.Load, error) {
	l := worker.Load{Size: size, For: r.For, Window: window}
	if prefix == "@" {
		l.Listen = fmt.Sprintf("@dagyo-bench-%d-%s", os.Getpid(), r.nextID())
		return l, nil
	}
	ports, err := freeport.Find(1)
	if err != nil {
		return l, err
	}
	l.Listen = net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[0]))
	return l, nil
}
