package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/services/dagyo/contexts"
	"github.com/dagyo/dagyo/services/dagyo/embedded"
	"github.com/dagyo/dagyo/services/dagyo/local"
	"github.com/dagyo/dagyo/services/dagyo/settings"
	"github.com/dagyo/dagyo/services/spawner/process"
)

// upOptions are the flags of up.
type upOptions struct {
	data     string
	port     int
	drain    time.Duration
	process  process.Config
	services *settings.Services
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
Then executors, services and the server exit.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.up(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.data, "data", a.dataDir(), "data directory")
	f.IntVar(&o.port, "port", embedded.DefaultPort, "port of NATS on 127.0.0.1; -1 selects a free port")
	f.DurationVar(&o.drain, "drain-timeout", 10*time.Second,
		"time that running flows have to end after the first Ctrl-C")
	processFlags(cmd, &o.process)
	a.policyFlag(cmd)
	addGroups(cmd, o.services.All()...)
	return cmd
}

func (a *app) up(ctx context.Context, o upOptions) error {
	log := a.logger("warn", true)
	if err := o.services.Resolve(log); err != nil {
		return usage(err)
	}
	rules, unwatch, err := a.openPolicy(ctx, true, log)
	if err != nil {
		return err
	}
	defer unwatch()
	o.services.SetPolicy(rules)
	in, stop := a.interrupts()
	defer stop()
	l, err := startUntil(ctx, in.first, local.Config{
		Dir: o.data, Port: o.port, Services: o.services, Process: o.process, Source: a.source(), Log: log,
	})
	if err != nil {
		return err
	}
	in.together(true) // until the number of running flows is known
	name, user, err := a.remember(l, o.data)
	if err == nil {
		err = a.tellUp(l, o.data, name, user)
	}
	if err == nil {
		select {
		case <-in.first:
		case <-ctx.Done():
		}
	}
	return errors.Join(err, l.Stop(context.WithoutCancel(ctx), local.Stop{
		Patience: o.drain, GiveUp: in.second,
		Waiting: func(flows int) {
			in.together(false)
			fmt.Fprintf(a.Err, "waiting up to %s for %s; press Ctrl-C again to stop now\n",
				o.drain, document.Count(flows, "running flow"))
		},
	}))
}

// remember stores how to connect as a context: that of the default data directory is "dagyo". It also returns the name
// of the user.
func (a *app) remember(l *local.Local, data string) (name, user string, err error) {
	name = "dagyo"
	if data != a.dataDir() {
		name += "-" + contexts.NameOf(filepath.Base(data))
	}
	c := contexts.Context{
		Name: name, URL: l.URL(), Description: "dagyo up, data in " + data, Access: broker.Access{Creds: l.Credentials()},
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
func (a *app) tellUp(l *local.Local, data, context, user string) error {
	if a.json() {
		return a.printJSON(map[string]string{"server": l.URL(), "data": data, "creds": l.Credentials(), "context": context, "user": user})
	}
	try := "dagyo run FLOW.json"
	if selected, err := a.contexts().Selected(); err != nil || selected != context {
		try = "dagyo --context " + context + " run FLOW.json"
	}
	if missing := l.Isolation().Missing; missing != "" {
		fmt.Fprintln(a.Err, "note:", missing)
	}
	_, err := fmt.Fprintf(a.Out, "dagyo is up at %s, data in %s; try `%s`, stop with Ctrl-C\n",
		l.URL(), data, try)
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
