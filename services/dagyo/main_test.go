package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/dagyo/dagyo/services/dagyo/cli"
)

// TestMain lets the test binary also be the command: for the scripts, and for the supervisors and
// executors that it starts.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"dagyo": func() { os.Exit(cli.Main()) }})
}

// TestScripts runs the real command, with real processes, as testdata/script says. See script_test.go
// for the commands that these scripts have beyond testscript's own.
func TestScripts(t *testing.T) {
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
