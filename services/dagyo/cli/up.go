package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/services/dagyo/contexts"
	"github.com/dagyo/dagyo/services/dagyo/embedded"
	"github.com/dagyo/dagyo/services/dagyo/local"
	"github.com/dagyo/dagyo/services/dagyo/provision"
	"github.com/dagyo/dagyo/services/dagyo/settings"
	"github.com/dagyo/dagyo/services/gateway"
	"github.com/dagyo/dagyo/services/spawner/process"
)

// upOptions are the flags of up.
type upOptions struct {
	data     string
	port     int
	listen   provision.Listener
	http     string
	httpSet  bool // by the user
	drain    time.Duration
	process  process.Config
	services *settings.Services
	pages    pageFlags
}

func (a *app) upCommand() *cobra.Command {
	o := upOptions{services: settings.Default()}
	cmd := &cobra.Command{
		Use: "up", GroupID: groupServices,
		Annotations: map[string]string{listens: "yes"},
		Short:       "Run all of Dagyo locally: NATS, services and executors",
		Long: `Run all of Dagyo on this machine: a NATS server, the four services, and
executors as processes. The standard progdefs are in the catalogue.

All data is stored in --data and is available again after a restart. Executors
survive even a SIGKILL of this command; the next start adopts them.

The first Ctrl-C stops accepting flows and waits up to --drain-timeout for
running flows. The second one stops them; their jobs panic with kind drained.
Then executors, services and the server exit.

With --listen, users on other machines connect with the credentials of "dagyo user
add". The certificate is made here, and the credentials end with what to verify it
with; for a certificate of your own, set --tls-cert and --tls-key, and --tls-ca if
its authority is not known to everybody.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.httpSet = cmd.Flags().Changed("http")
			return a.up(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.data, "data", a.dataDir(), "data directory")
	f.IntVar(&o.port, "port", embedded.DefaultPort, "port of NATS; -1 selects a free port")
	f.StringVar(&o.listen.Host, "listen", "127.0.0.1",
		"address that NATS listens on, 0.0.0.0 for all; connections are encrypted unless it is of the loopback interface")
	f.StringSliceVar(&o.listen.Names, "tls-name", nil,
		"names by which others reach NATS, for its certificate; those of this machine are in it anyway")
	f.StringVar(&o.http, "http", defaultHTTP,
		"address of the HTTP API, on the loopback interface; another port if it is in use; empty for none")
	f.DurationVar(&o.drain, "drain-timeout", 10*time.Second,
		"time that running flows have to end after the first Ctrl-C")
	processFlags(cmd, &o.process)
	a.policyFlag(cmd)
	o.pages.define(a, cmd, "metrics", envMetrics, metricsHelp)
	addGroups(cmd, o.services.All()...)
	return cmd
}

func (a *app) up(ctx context.Context, o upOptions) (err error) {
	log := a.logger("warn", true)
	if err := o.services.Resolve(log); err != nil {
		return usage(err)
	}
	o.listen.Cert, o.listen.Key, o.listen.CA = a.access.Cert, a.access.Key, a.access.CA
	if err := o.listen.Validate(); err != nil {
		return usage(err)
	}
	rules, unwatch, err := a.openPolicy(ctx, true, log)
	if err != nil {
		return err
	}
	defer unwatch()
	o.services.SetPolicy(rules)
	if !o.listen.Encrypted() { // else others may have users on it
		o.services.Aggregator.LocalWebhooks = settings.Loopback()
	}
	page, err := o.pages.open(ctx, a, "up", client.Services(), log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, page.close()) }()
	o.services.SetMetrics(page.monitor.Meter())
	o.services.SetTraces(page.traces.Tracer())
	in, stop := a.interrupts()
	defer stop()
	l, err := startUntil(ctx, in.first, local.Config{
		Dir: o.data, Port: o.port, Listen: o.listen, Services: o.services, Process: o.process, Source: a.source(), Log: log, Monitor: page.monitor,
	})
	if err != nil {
		return err
	}
	in.together(true) // until the number of running flows is known
	name, user, err := a.remember(l, o.data)
	var door *gateway.Server
	if err == nil {
		door, err = a.openGateway(l, o.http, o.httpSet, page.monitor.Meter(), log)
	}
	if err == nil {
		err = a.tellUp(l, door, page, o.data, name, user)
	}
	if err == nil {
		select {
		case <-in.first:
		case <-ctx.Done():
		}
	}
	err = errors.Join(err, l.Stop(context.WithoutCancel(ctx), local.Stop{
		Patience: o.drain, GiveUp: in.second,
		Waiting: func(flows int) {
			in.together(false)
			fmt.Fprintf(a.Err, "waiting up to %s for %s; press Ctrl-C again to stop now\n",
				o.drain, document.Count(flows, "running flow"))
		},
	}))
	if door != nil { // the requests of flows have ended with them
		err = errors.Join(err, door.Close(0))
	}
	return err
}

// remember stores how to connect as a context: that of the default data directory is "dagyo". It also returns the name
// of the user.
func (a *app) remember(l *local.Local, data string) (name, user string, err error) {
	name = "dagyo"
	if data != a.dataDir() {
		name += "-" + contexts.NameOf(filepath.Base(data))
	}
	c := contexts.Context{
		Name: name, URL: l.URL(), Description: "dagyo up, data in " + data, Access: l.Access(),
	}
	if err := absolute(&c.Access); err != nil {
		return "", "", err
	}
	holder, ok, err := c.Access.Holder(nil)
	if err != nil {
		return "", "", err
	}
	if ok {
		c.Inbox = holder.Inbox()
	}
	return name, holder.Name, a.addContext(c)
}

// tellUp prints that Dagyo is up, and how to use it.
func (a *app) tellUp(l *local.Local, door *gateway.Server, page *page, data, context, user string) error {
	http := ""
	if door != nil {
		http = "http://" + door.Addr().String()
	}
	if a.json() {
		return a.printJSON(map[string]string{
			"server": l.URL(), "http": http, "data": data, "creds": l.Credentials(), "context": context, "user": user,
			"metrics": page.url(),
		})
	}
	dagyo := "dagyo"
	if selected, err := a.contexts().Selected(); err != nil || selected != context {
		dagyo += " --context " + context
	}
	try := "`" + dagyo + " run FLOW.json`"
	if door != nil {
		try = "`" + dagyo + " console` or " + try
	}
	if missing := l.Isolation().Missing; missing != "" {
		fmt.Fprintln(a.Err, "note:", missing)
	}
	at := l.URL()
	if http != "" {
		at += " and " + http
	}
	if url := page.url(); url != "" {
		at += ", metrics at " + url
	}
	_, err := fmt.Fprintf(a.Out, "dagyo is up at %s, data in %s; try %s, stop with Ctrl-C\n", at, data, try)
	return err
}

// startUntil starts Dagyo unless a signal arrives first.
func startUntil(
	ctx context.Context, interrupted <-chan struct{}, c local.Config,
) (*local.Local, error) {
	ctx, stop := until(ctx, interrupted)
	defer stop()
	return local.Start(ctx, c)
}
