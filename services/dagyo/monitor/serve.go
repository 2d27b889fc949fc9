package monitor

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"
)

// Bounds of requests, for scrapers that ask often or read slowly.
const (
	headerTime = 10 * time.Second
	idleTime   = 2 * time.Minute
	// writeTime bounds answers, profiles included.
	writeTime = time.Minute
	// scrapesAtOnce is how many pages are made and sent at a time; further requests are answered with 503.
	scrapesAtOnce = 4
)

// A Server serves the pages of a Monitor.
type Server struct {
	http     http.Server
	listener net.Listener
	serving  sync.WaitGroup
}

// Listen serves the pages of a monitor on an address, with profiles or without. The caller must close the server.
func (m *Monitor) Listen(address string, profiles bool, log zerolog.Logger) (*Server, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for metrics: %w", err)
	}
	s := &Server{listener: l, http: http.Server{
		Handler: m.handler(profiles), ReadHeaderTimeout: headerTime, IdleTimeout: idleTime, WriteTimeout: writeTime,
	}}
	s.serving.Go(func() {
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error().Err(err).Msg("metrics are not served any more")
		}
	})
	return s, nil
}

// Addr is the address on which it listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close ends the server.
func (s *Server) Close() error {
	err := s.http.Close()
	s.serving.Wait()
	return err
}

func (m *Monitor) handler(profiles bool) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: scrapesAtOnce}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	if len(m.expected) > 0 {
		mux.HandleFunc("GET /readyz", m.ready)
	}
	if profiles { // not the command line, which may contain the password of NATS
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	return mux
}

// ready says whether the process is ready, or what is missing.
func (m *Monitor) ready(w http.ResponseWriter, _ *http.Request) {
	if missing := m.Missing(); len(missing) > 0 {
		http.Error(w, strings.Join(missing, "\n"), http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}
