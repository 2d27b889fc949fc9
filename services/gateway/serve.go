package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// Times of HTTP connections. Bodies and answers are streams, and have none.
const (
	headerTime = 10 * time.Second
	idleTime   = 2 * time.Minute
	// headerBytes bounds the headers of a request: a token has up to 16 KiB.
	headerBytes = 64 << 10
	// stopTime is how long requests may take to end when they are told to.
	stopTime = 3 * time.Second
)

// A Server is a running gateway.
type Server struct {
	gateway  *Gateway
	http     *http.Server
	listener net.Listener
	serving  sync.WaitGroup
	stopping context.CancelCauseFunc
}

// Listen starts a gateway on an address, with TLS if a configuration is given. The caller must close it.
func Listen(address string, encrypted *tls.Config, c Config) (*Server, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for HTTP: %w", err)
	}
	if encrypted != nil {
		encrypted = encrypted.Clone()
		encrypted.NextProtos = []string{"h2", "http/1.1"}
		l = tls.NewListener(l, encrypted)
	}
	base, stop := context.WithCancelCause(context.Background())
	s := &Server{gateway: New(c), listener: l, stopping: stop}
	s.http = &http.Server{
		Handler: s.gateway, ReadHeaderTimeout: headerTime, IdleTimeout: idleTime, MaxHeaderBytes: headerBytes,
		BaseContext: func(net.Listener) context.Context { return base },
	}
	s.serving.Go(func() {
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			c.Log.Error().Err(err).Msg("the gateway serves no HTTP any more")
		}
	})
	return s, nil
}

// Addr is the address on which it listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close accepts no more requests, lets those that run go on for a while, ends them, and returns when they have ended. Flows are
// not cancelled.
func (s *Server) Close(patience time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		s.stopping(errStopping)
		last, done := context.WithTimeout(context.Background(), stopTime)
		defer done()
		if err = s.http.Shutdown(last); err != nil {
			err = s.http.Close()
		}
	}
	s.stopping(errStopping)
	s.serving.Wait()
	s.gateway.Close()
	return err
}
