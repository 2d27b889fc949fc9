package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/dagyo/dagyo/executor"
	"github.com/dagyo/dagyo/services/dagyo/cli"
)

// TestMain lets the test binary also be the command: for the scripts, and for the supervisors and
// executors that it starts.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"dagyo":         func() { exit(cli.Main()) },
		"copy-executor": func() { executor.Main(copies()) },
		"nats-server":   func() { os.Exit(natsServer(os.Args[1:])) },
	})
}

// exit ends a command. Those that Dagyo starts do not have the environment of the script, and skip what the race
// detector would wait for.
func exit(code int) {
	if os.Getenv("GORACE") == "" {
		syscall.Exit(code)
	}
	os.Exit(code)
}

// natsServer is the program of that name.
func natsServer(args []string) int {
	options, err := server.ConfigureOptions(flag.NewFlagSet("nats-server", flag.ContinueOnError), args, nil, nil, nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	s, err := server.NewServer(options)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	s.ConfigureLogger()
	s.Start()
	s.WaitForShutdown()
	return 0
}

// copies is the program that the conformance kit asks for.
func copies() executor.Program {
	in, out := executor.Input("in", executor.String), executor.Output("out", executor.String)
	return executor.Program{
		Ports: []executor.Port{in, out},
		Run: func(ctx context.Context, job *executor.Job) error {
			for v, err := range in.All(ctx, job) {
				if err != nil {
					return err
				}
				if err := out.Send(ctx, job, v); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// TestScripts runs the real command, with real processes, as testdata/script says. See script_test.go
// for the commands that these scripts have beyond testscript's own.
func TestScripts(t *testing.T) {
	if signal.Ignored(syscall.SIGHUP) { // under nohup, which the commands would inherit
		hangups := make(chan os.Signal, 1)
		signal.Notify(hangups, syscall.SIGHUP)
		t.Cleanup(func() { signal.Stop(hangups) }) // the scripts run after this function has returned
	}
	params := scriptParams()
	params.Dir = "testdata/script"
	testscript.Run(t, params)
}

func scriptParams() testscript.Params {
	return testscript.Params{
		Setup:               setup,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"begin": begin, "until": until, "signal": signalProcess, "ends": ends, "gone": gone,
			"matches": matches,
		},
	}
}
