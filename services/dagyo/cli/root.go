package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
)

const (
	outputText = "text"
	outputJSON = "json"

	envServer = "DAGYO_QUEUE"
	envUser   = "DAGYO_USER"
)

// Groups of commands in the help.
const (
	groupFlows    = "flows"
	groupProgdefs = "progdefs"
	groupServices = "services"
	groupOther    = "other"
	groupTopics   = "topics"
)

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "dagyo",
		Short: "Run data-flow graphs of typed programs",
		Long: `Dagyo runs data-flow graphs. A flow is a JSON or YAML document that connects
programs with typed inputs and outputs. Records stream between the programs;
when a flow ends, it gets exactly one verdict.

Start a project:                         dagyo init
Run one flow, without an installation:   dagyo run FLOW.json
Start Dagyo and keep it running:         dagyo up`,
		SilenceErrors: true, SilenceUsage: true,
		PersistentPreRunE: a.begin,
	}
	root.SetIn(a.In) // the completion commands keep the output of when they are created
	root.SetOut(a.Out)
	root.SetErr(a.Err)
	f := root.PersistentFlags()
	f.StringVarP(&a.server, "server", "s", cmp.Or(a.Env(envServer), client.DefaultURL),
		"URL of the NATS server, or several URLs separated by commas (environment: "+envServer+")")
	f.Lookup("server").DefValue = broker.Redact(a.server) // the help shows it
	f.StringVar(&a.context, "context", a.Env(envContext),
		"context with the server and the credentials to use (environment: "+envContext+")")
	f.StringVarP(&a.output, "output", "o", outputText, "output format: text or json")
	f.StringVar(&a.logLevel, "log-level", "",
		"level of the log on standard error: trace, debug, info, warn, error or off")
	a.access = broker.AccessFromEnvironment(a.Env)
	f.StringVar(&a.access.Creds, "creds", a.access.Creds,
		"NATS credentials file (environment: "+contract.EnvCreds+")")
	f.StringVar(&a.user, "user", a.Env(envUser),
		"name under which the NATS server lets you publish, if it tells users apart (environment: "+envUser+")")
	f.StringVar(&a.access.CA, "tls-ca", a.access.CA,
		"file with the CA certificates to verify the NATS server with (environment: "+contract.EnvTLSCA+")")
	f.StringVar(&a.access.Cert, "tls-cert", a.access.Cert,
		"file with the client certificate for NATS (environment: "+contract.EnvTLSCert+")")
	f.StringVar(&a.access.Key, "tls-key", a.access.Key,
		"file with the key of the client certificate (environment: "+contract.EnvTLSKey+")")
	root.AddGroup(
		&cobra.Group{ID: groupFlows, Title: "Flows:"},
		&cobra.Group{ID: groupProgdefs, Title: "Progdefs and types:"},
		&cobra.Group{ID: groupServices, Title: "Services:"},
		&cobra.Group{ID: groupOther, Title: "Other commands:"},
		&cobra.Group{ID: groupTopics, Title: "Help topics:"},
	)
	root.AddCommand(
		a.runCommand(), a.testCommand(), a.devCommand(), a.submitCommand(), a.attachCommand(), a.validateCommand(), a.graphCommand(), a.watchCommand(),
		a.lsCommand(), a.showCommand(), a.logsCommand(), a.cancelCommand(), a.webhookCommand(),
		a.applyCommand(), a.progdefCommand(), a.typesCommand(), a.conformanceCommand(),
		a.upCommand(), a.validatorCommand(), a.plannerCommand(), a.spawnerCommand(),
		a.aggregatorCommand(), a.healthCommand(), a.policyCommand(), a.signInCommand(), a.eventsCommand(), a.executorCommand(), a.execCommand(), a.superviseCommand(),
		a.contextCommand(), a.initCommand(), a.userCommand(), a.tenantCommand(), a.keysCommand(), a.platformCommand(), a.gatewayCommand(), a.consoleCommand(), a.schemaCommand(), a.versionCommand(),
		topic("exit-codes", "Exit codes", exitCodes),
		topic("records", "Files of inputs and outputs, and their formats", recordsHelp),
	)
	root.SetHelpCommandGroupID(groupOther)
	root.SetCompletionCommandGroupID(groupOther)
	root.InitDefaultHelpCmd() // cobra would add these two after the arguments are checked
	root.InitDefaultCompletionCmd()
	unsorted(root)
	completeValues(root)
	checkArguments(root)
	root.SetUsageTemplate(usageTemplate)
	return root
}

// connect connects to the server that the flags name.
func (a *app) connect(ctx context.Context) (*client.Client, error) {
	if err := a.locate(); err != nil {
		return nil, err
	}
	c, err := client.Connect(ctx, client.Options{
		URL: a.server, Access: a.access, Source: a.source(), User: a.user,
	})
	if errors.Is(err, client.ErrNoServer) {
		return nil, fmt.Errorf("%w: start one with `dagyo up`, or set its address with --server", err)
	}
	return c, err
}

// with connects, calls do with a context that the first signal cancels, and closes the connection.
func (a *app) with(ctx context.Context, do func(context.Context, *client.Client) error) error {
	ctx, stop := a.untilInterrupt(ctx)
	defer stop()
	c, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, end := c.Alive(ctx)
	defer end()
	err = do(ctx, c)
	if cause := context.Cause(ctx); errors.Is(cause, client.ErrRefused) && err != nil {
		return cause
	}
	return err
}

// source is the CloudEvents source of the events that this user publishes.
func (a *app) source() string {
	return "/dagyo/cli/" + url.PathEscape(cmp.Or(a.Env("USER"), "unknown"))
}

func (a *app) json() bool { return a.output == outputJSON }

// printJSON prints one JSON document on one line.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.Out)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// level returns the log level: the flag's, else the default of the command.
func (a *app) level(suits string) (zerolog.Level, error) {
	switch name := cmp.Or(a.logLevel, suits); name {
	case "":
		return zerolog.InfoLevel, nil
	case "off":
		return zerolog.Disabled, nil
	case "trace", "debug", "info", "warn", "error":
		return zerolog.ParseLevel(name)
	default:
		return 0, fmt.Errorf(
			"--log-level is %q: it must be trace, debug, info, warn, error or off", name)
	}
}

// logger returns a logger on standard error. It writes text if text is set or standard error is a terminal, else JSON.
func (a *app) logger(suits string, text bool) zerolog.Logger {
	level, err := a.level(suits)
	if err != nil { // begin refused it
		level = zerolog.InfoLevel
	}
	w := a.Err
	if terminal := isTerminal(a.Err); text || terminal {
		w = zerolog.ConsoleWriter{Out: a.Err, NoColor: !terminal, TimeFormat: time.TimeOnly}
	}
	return zerolog.New(w).Level(level).With().Timestamp().Logger()
}
