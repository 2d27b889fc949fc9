package gateway

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/records"
)

// logsOperation is the operation that reads what the jobs of a flow log.
const logsOperation = "flow-logs"

func (g *Gateway) registerLogs(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: logsOperation, Method: http.MethodGet, Path: "/v1/flows/{id}/logs", Tags: []string{"flows"},
		Summary:     "Read what the jobs of a flow log",
		Description: "JSON lines with `time`, `job`, `stream`, `level`, `text`, and `dropped` in place of lines that are missing. With `follow=true` new lines too, until the flow has ended; empty lines keep the connection open.",
	}, readLogs)
}

type logsRequest struct {
	OneFlow
	Node   string `query:"node" doc:"lines of this node only"`
	Follow bool   `query:"follow" doc:"also new lines, until the flow has ended"`
}

func readLogs(ctx context.Context, in *logsRequest) (*huma.StreamResponse, error) {
	if in.Node != "" && !document.ValidName(in.Node) {
		return nil, answer(usage(errors.New("the node " + document.Quote(in.Node) + " is not a name: it must match " + document.NamePattern)))
	}
	logs, err := clientOf(ctx).Logs(ctx, in.ID, client.LogQuery{Node: in.Node, Follow: in.Follow})
	if err != nil {
		return nil, answer(err)
	}
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		defer logs.Close()
		out := &lineWriter{to: goLive(hctx, jsonLines)}
		stop := out.keepOpen()
		err := logs.Each(hctx.Context(), func(l client.LogLine) error {
			line, err := records.EncodeJSON(l)
			return errors.Join(err, out.write(append(line, '\n')))
		})
		stop()
		if err != nil {
			panic(http.ErrAbortHandler) // so that the answer does not look complete
		}
	}}, nil
}

// A lineWriter writes lines of an answer. It may be used concurrently.
type lineWriter struct {
	mu sync.Mutex
	to *live
}

func (l *lineWriter) write(line []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := l.to.Write(line)
	return err
}

// keepOpen writes empty lines, so that proxies keep the connection open, until stop is called.
func (l *lineWriter) keepOpen() (stop func()) {
	alive, done, ended := time.NewTicker(aliveEvery), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-alive.C:
				_ = l.write([]byte{'\n'}) // the next line fails, too
			case <-done:
				return
			}
		}
	}()
	return func() {
		alive.Stop()
		close(done)
		<-ended
	}
}
