package cli

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"syscall"
	"time"

	"github.com/moby/sys/atomicwriter"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/metrics"
	"github.com/dagyo/dagyo/services/dagyo/local"
	"github.com/dagyo/dagyo/services/gateway"
)

// gatewayPatience is how long requests may go on when the gateway is stopped: less than Kubernetes waits.
const gatewayPatience = 20 * time.Second

// defaultHTTP is where the gateway of `dagyo up` listens.
const defaultHTTP = "127.0.0.1:4280"

// gatewayOptions are the flags of gateway.
type gatewayOptions struct {
	address, cert, key string
	plain              bool
	rate               int
	pages              pageFlags
	signIn             signInFlags
}

func (a *app) gatewayCommand() *cobra.Command {
	o := gatewayOptions{}
	cmd := &cobra.Command{
		Use: "gateway", GroupID: groupServices,
		Annotations: map[string]string{listens: "yes"},
		Short:       "Serve HTTP for people and programs without NATS",
		Long: `Serve the HTTP API of Dagyo. A request carries the credentials of its user: a
file of "dagyo user add", in Base64, as a bearer token. What it may do is what
the user may do on NATS; the gateway has no rights of its own. With --sign-in,
persons can sign in with a provider of OpenID Connect instead: the gateway issues
credentials to them that are valid for some hours.

"dagyo up" has a gateway on ` + defaultHTTP + `, whose token for its own user is in
keys/http.header of the data directory: curl -H @FILE.
On other addresses than those of the loopback interface, HTTP needs a certificate,
or --plain if something in front of the gateway ends TLS.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.gateway(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.address, "http", defaultHTTP, "address to listen on")
	f.StringVar(&o.cert, "http-cert", "", "file with the certificate for HTTPS")
	f.StringVar(&o.key, "http-key", "", "file with its key")
	f.IntVar(&o.rate, "http-rate", gateway.DefaultRate, "most requests a second of each user; five times as many at once")
	f.BoolVar(&o.plain, "plain", false, "listen without TLS also on other addresses than those of the loopback interface")
	o.signIn.define(a, cmd)
	o.pages.define(a, cmd, "metrics", envMetrics, metricsHelp)
	return cmd
}

// encrypted returns the configuration of HTTPS, nil for HTTP.
func (o gatewayOptions) encrypted() (*tls.Config, error) {
	host, _, err := net.SplitHostPort(o.address)
	if err != nil {
		return nil, usage(fmt.Errorf("--http is %q: it must be an address and a port, such as 127.0.0.1:4280", o.address))
	}
	if (o.cert == "") != (o.key == "") {
		return nil, usage(errors.New("--http-cert and --http-key belong together"))
	}
	if o.cert != "" {
		pair, err := tls.LoadX509KeyPair(o.cert, o.key)
		if err != nil {
			return nil, fmt.Errorf("the certificate for HTTPS: %w", err)
		}
		return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
	}
	if ip := net.ParseIP(host); !o.plain && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, usage(fmt.Errorf("--http is %q: requests carry credentials, so set --http-cert and --http-key, or --plain if TLS ends in front of it", o.address))
	}
	return nil, nil
}

func (a *app) gateway(ctx context.Context, o gatewayOptions) (err error) {
	if o.rate < 1 {
		return usage(fmt.Errorf("--http-rate is %d: it must be at least 1", o.rate))
	}
	encrypted, err := o.encrypted()
	if err != nil {
		return err
	}
	log := a.logger("info", false)
	signIn, err := o.signIn.open(log)
	if err != nil {
		return err
	}
	ctx, stop := a.untilInterrupt(ctx)
	defer stop()
	if err := a.locate(); err != nil {
		return err
	}
	page, err := o.pages.open(ctx, a, "gateway", nil, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, page.close()) }()
	files := a.access
	files.Creds = ""
	s, err := gateway.Listen(o.address, encrypted, gateway.Config{
		Server: a.server, Files: files, SignIn: signIn, Rate: o.rate, Log: log, Metrics: page.monitor.Meter(),
	})
	if err != nil {
		return err
	}
	log.Info().Str("service", "gateway").Str("server", broker.Redact(a.server)).Stringer("http", s.Addr()).Msg("serving HTTP")
	<-ctx.Done()
	return s.Close(gatewayPatience)
}

// headerFile has the header with the token of the user who runs `dagyo up`, as curl -H @FILE reads it. Other users of the
// machine, and executors, cannot read it.
const headerFile = "http.header"

// openGateway starts the gateway of `dagyo up`, for its own user. If the default address is in use, it takes a free port.
func (a *app) openGateway(
	l *local.Local, address string, chosen bool, m metrics.Meter, log zerolog.Logger,
) (*gateway.Server, error) {
	if address == "" {
		return nil, nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, usage(fmt.Errorf("--http is %q: it must be an address and a port, such as %s, or empty for none", address, defaultHTTP))
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, usage(fmt.Errorf("--http is %q: it must be an address of the loopback interface; `dagyo gateway` serves others", address))
	}
	own := l.Access()
	path, err := filepath.Abs(filepath.Join(filepath.Dir(own.Creds), headerFile))
	if err != nil {
		return nil, err
	}
	c := gateway.Config{
		Server: l.URL(), Files: own, Own: own.Creds, Token: rand.Text() + rand.Text(), Hint: "those of this Dagyo: curl -H @" + path, Log: log, Metrics: m,
	}
	if err := atomicwriter.WriteFile(path, []byte("Authorization: Bearer "+c.Token+"\n"), 0o600); err != nil {
		return nil, fmt.Errorf("write the token for HTTP: %w", err)
	}
	s, err := gateway.Listen(address, nil, c)
	if errors.Is(err, syscall.EADDRINUSE) && !chosen {
		s, err = gateway.Listen(net.JoinHostPort(host, "0"), nil, c)
	}
	if err != nil {
		return nil, err
	}
	if err := atomicwriter.WriteFile(filepath.Join(filepath.Dir(path), urlFile), []byte("http://"+s.Addr().String()+"\n"), 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("write the address for HTTP: %w", err), s.Close(0))
	}
	return s, nil
}
