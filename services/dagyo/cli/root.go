package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/services/dagyo/client"
)

const (
	outputText = "text"
	outputJSON = "json"

	envServer = "DAGYO_QUEUE"
)

// Groups of commands in the help.
const (
	groupFlows    = "flows"
	groupProgdefs = "progdefs"
	groupServices = "services"
)

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "dagyo",
		Short: "Run data-flow graphs of typed programs",
		Long: `Dagyo runs data-flow graphs that are composed at run time out of programs whose
every input and output has a type. A flow is a JSON or YAML document. It streams,
it ends, and it gets exactly one verdict.

Try it without any installation:   dagyo run FLOW.json
Or keep it running:                dagyo up`,
		SilenceErrors: true, SilenceUsage: true,
		PersistentPreRunE: a.begin,
	}
	f := root.PersistentFlags()
	f.StringVarP(&a.server, "server", "s", orElse(a.Env(envServer), client.DefaultURL),
		"URL of the NATS server, or several with commas (environment: "+envServer+")")
	f.Lookup("server").DefValue = broker.Redact(a.server) // the help shows it
	a.access = broker.AccessFromEnvironment(a.Env)
	f.StringVar(&a.access.Creds, "creds", a.access.Creds,
		"NATS credentials file (environment: "+contract.EnvCreds+")")
	f.StringVar(&a.access.CA, "tls-ca", a.access.CA,
		"file with the authorities that vouch for NATS (environment: "+contract.EnvTLSCA+")")
	f.StringVar(&a.access.Cert, "tls-cert", a.access.Cert,
		"file with our certificate for NATS (environment: "+contract.EnvTLSCert+")")
	f.StringVar(&a.access.Key, "tls-key", a.access.Key,
		"file with the certificate's key (environment: "+contract.EnvTLSKey+")")
	f.StringVarP(&a.output, "output", "o", outputText, "what is printed: text or json")
	f.StringVar(&a.logLevel, "log-level", "",
		"what is logged on standard error: trace, debug, info, warn, error or off")
	root.AddGroup(
		&cobra.Group{ID: groupFlows, Title: "Flows:"},
		&cobra.Group{ID: groupProgdefs, Title: "Progdefs and types:"},
		&cobra.Group{ID: groupServices, Title: "Services:"},
	)
	root.AddCommand(
		a.runCommand(), a.testCommand(), a.submitCommand(), a.attachCommand(), a.validateCommand(), a.graphCommand(), a.watchCommand(),
		a.lsCommand(), a.showCommand(), a.cancelCommand(),
		a.progdefCommand(), a.typesCommand(), a.conformanceCommand(),
		a.upCommand(), a.validatorCommand(), a.plannerCommand(), a.spawnerCommand(),
		a.aggregatorCommand(), a.healthCommand(), a.eventsCommand(), a.executorCommand(), a.execCommand(), a.superviseCommand(),
		a.schemaCommand(), a.versionCommand(),
		&cobra.Command{Use: "exit-codes", Short: "What the exit codes mean", Long: exitCodes},
		&cobra.Command{Use: "records", Short: "How records stand in the files of inputs and outputs", Long: recordsHelp},
	)
	completeValues(root)
	checkArguments(root)
	return root
}

func orElse(s, otherwise string) string {
	if s != "" {
		return s
	}
	return otherwise
}

// connect connects to the server that the flags name.
func (a *app) connect(ctx context.Context) (*client.Client, error) {
	c, err := client.Connect(ctx, client.Options{URL: a.server, Access: a.access, Source: a.source()})
	if errors.Is(err, client.ErrNoServer) {
		return nil, fmt.Errorf("%w: start one with `dagyo up`, or say where it is with --server", err)
	}
	return c, err
}

// with connects, does something that a first signal ends, and closes the connection.
func (a *app) with(ctx context.Context, do func(context.Context, *client.Client) error) error {
	ctx, stop := a.untilInterrupt(ctx)
	defer stop()
	c, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	return do(ctx, c)
}

// source is the CloudEvents source of what this user publishes.
func (a *app) source() string {
	return "/dagyo/cli/" + url.PathEscape(orElse(a.Env("USER"), "unknown"))
}

func (a *app) json() bool { return a.output == outputJSON }

// printJSON prints one JSON document on one line.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.Out)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// level is the level to log at: the flag's, else the one that suits the command.
func (a *app) level(suits string) (zerolog.Level, error) {
	switch name := orElse(a.logLevel, suits); name {
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

// logger logs to standard error: for people where text is asked for or somebody looks, else JSON.
func (a *app) logger(suits string, text bool) zerolog.Logger {
	level, err := a.level(suits)
	if err != nil { // begin has refused it
		level = zerolog.InfoLevel
	}
	w := a.Err
	if terminal := isTerminal(a.Err); text || terminal {
		w = zerolog.ConsoleWriter{Out: a.Err, NoColor: !terminal, TimeFormat: time.TimeOnly}
	}
	return zerolog.New(w).Level(level).With().Timestamp().Logger()
}
