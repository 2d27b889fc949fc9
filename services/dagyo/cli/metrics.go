package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/services/dagyo/monitor"
)

// Variables with the address of /metrics: envHTTP for --http of services, envMetrics for --metrics of the other commands,
// whose --http is the HTTP API.
const (
	envHTTP    = "DAGYO_HTTP"
	envMetrics = "DAGYO_METRICS"
)

const metricsHelp = "address of /metrics for Prometheus, such as 127.0.0.1:9464; empty for none"

// lastPush is how long a process that ends waits for an OTLP collector.
const lastPush = 3 * time.Second

// pageFlags are the flags of a page.
type pageFlags struct {
	flag, address string
	profiles      bool
}

// define adds the flags to a command.
func (p *pageFlags) define(a *app, cmd *cobra.Command, flag, env, help string) {
	p.flag = flag
	f := cmd.Flags()
	f.StringVar(&p.address, flag, a.Env(env), help+" (environment: "+env+")")
	f.Lookup(flag).DefValue = ""
	f.BoolVar(&p.profiles, "pprof", false, "serve profiles at /debug/pprof/ of that address, too")
}

// A page exports what a process measures, and spans. The monitor is nil if nothing is exported, the server if no address is
// served, and traces if the environment names no collector for them.
type page struct {
	monitor *monitor.Monitor
	server  *monitor.Server
	traces  *monitor.Traces
}

// open serves the page, and sends values to a collector if the environment names one. The process is ready once these
// services serve their tenants. The caller must close the page.
func (p *pageFlags) open(ctx context.Context, a *app, name string, services []string, log zerolog.Logger) (*page, error) {
	push, err := monitor.Pushes(a.Env)
	if err != nil {
		return nil, usage(err)
	}
	if p.profiles && p.address == "" {
		return nil, usage(fmt.Errorf("--pprof needs --%s: the address of the profiles", p.flag))
	}
	if _, _, err := net.SplitHostPort(p.address); err != nil && p.address != "" {
		return nil, usage(fmt.Errorf("--%s is %q: it must be an address and a port, such as 127.0.0.1:9464, or empty for none", p.flag, p.address))
	}
	out := new(page)
	if out.traces, err = openTraces(ctx, a, log); err != nil || p.address == "" && !push {
		return out, err
	}
	m, err := monitor.New(ctx, monitor.Config{Name: "dagyo-" + name, Services: services, Push: push, Log: log})
	if err != nil {
		return nil, errors.Join(err, out.close())
	}
	out.monitor = m
	if p.address == "" {
		return out, nil
	}
	if out.server, err = m.Listen(p.address, p.profiles, log); err != nil {
		return nil, errors.Join(err, out.close())
	}
	log.Info().Str("service", name).Str("metrics", out.url()).Msg("serving metrics")
	return out, nil
}

// openTraces returns what exports spans, nil if the environment names no collector.
func openTraces(ctx context.Context, a *app, log zerolog.Logger) (*monitor.Traces, error) {
	on, err := monitor.PushesTraces(a.Env)
	if err != nil {
		return nil, usage(err)
	}
	if !on {
		return nil, nil
	}
	return monitor.NewTraces(ctx, log)
}

// url returns the address of /metrics, "" if it is not served.
func (p *page) url() string {
	if p.server == nil {
		return ""
	}
	return "http://" + p.server.Addr().String() + "/metrics"
}

// close ends the page.
func (p *page) close() error {
	var err error
	if p.server != nil {
		err = p.server.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), lastPush)
	defer cancel()
	_ = p.monitor.Close(ctx) // a collector that does not answer was logged
	closeTraces(p.traces)
	return err
}

// closeTraces sends the spans that are left.
func closeTraces(t *monitor.Traces) {
	ctx, cancel := context.WithTimeout(context.Background(), lastPush)
	defer cancel()
	_ = t.Close(ctx) // a collector that does not answer was logged
}
