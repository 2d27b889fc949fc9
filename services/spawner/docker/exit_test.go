package docker

import (
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"

	"github.com/dagyo/dagyo/services/spawner/backend"
)

func TestDescribe(t *testing.T) {
	const limit = 64 << 20
	own := name{place: "dagyo", executor: "e"}
	exited := func(code int) container.State {
		return container.State{Status: container.StateExited, ExitCode: code}
	}
	starved := func(code int) container.State {
		s := exited(code)
		s.OOMKilled = true
		return s
	}
	for title, c := range map[string]struct {
		state  container.State
		memory int64
		phase  phase
		stderr string
		want   backend.Exit
	}{
		"zero":     {state: exited(0), want: backend.Exit{Reason: "it exited with code 0"}},
		"three":    {state: exited(3), stderr: "x", want: backend.Exit{Code: 3, Reason: "it exited with code 3", Detail: "x"}},
		"255":      {state: exited(255), want: backend.Exit{Code: 255, Reason: "it exited with code 255"}},
		"128":      {state: exited(128), want: backend.Exit{Code: 128, Reason: "it exited with code 128"}},
		"a signal": {state: exited(139), want: backend.Exit{Code: -1, Signal: "SIGSEGV", Reason: "it was killed by SIGSEGV"}},
		"killed":   {state: exited(137), want: backend.Exit{Code: -1, Signal: "SIGKILL", Reason: "it was killed by SIGKILL"}},
		"killed by us": {state: exited(137), phase: givenUp, want: backend.Exit{
			Code: -1, Signal: "SIGKILL", Reason: "it was killed: it did not exit when told to"}},
		"gave up": {state: exited(0), phase: givenUp, want: backend.Exit{Reason: "it exited with code 0"}},
		"out of memory": {state: starved(137), memory: limit, phase: givenUp, want: backend.Exit{
			Code: -1, Signal: "SIGKILL", Reason: "the kernel killed it: it used more memory than its limit of 64Mi"}},
		"the machine is out of memory": {state: starved(137), want: backend.Exit{
			Code: -1, Signal: "SIGKILL", Reason: "the kernel killed it: it used more memory than the machine has"}},
		"a child was out of memory": {state: starved(1), memory: limit, want: backend.Exit{
			Code: 1, Reason: "it exited with code 1, after the kernel killed one of its processes: " +
				"it used more memory than its limit of 64Mi"}},
		"never started": {
			state: container.State{Status: container.StateCreated}, phase: abandoned,
			want: backend.Exit{Code: -1, Reason: "it was never started: the spawner exited while starting it"}},
		"could not be started": {
			state: container.State{Status: container.StateCreated, ExitCode: 128, Error: "no space left"},
			want:  backend.Exit{Code: -1, Reason: "it could not be started: no space left"}},
		"can never be started": {
			state: container.State{Status: container.StateCreated, ExitCode: 128, Error: "unable to find user x"},
			want: backend.Exit{Code: -1, Permanent: true, Reason: "the user of the image does not exist in it: " +
				"unable to find user x; set USER in the Dockerfile to numeric ids"}},
		"could not be started, at length": {
			state: container.State{Status: container.StateCreated, Error: strings.Repeat("é", 1000)},
			want:  backend.Exit{Code: -1, Reason: "it could not be started: " + strings.Repeat("é", 510) + "…"}},
		"cannot be executed": {
			state: exited(126), stderr: "[FATAL tini (7)] exec /greet failed: Exec format error\n",
			want: backend.Exit{Code: 126, Permanent: true,
				Detail: "[FATAL tini (7)] exec /greet failed: Exec format error\n",
				Reason: "the system cannot execute the program in the image: /greet failed: Exec format error; " +
					"build the image for this machine, with the program's interpreter and loader in it"}},
		"prints that it cannot be executed": {
			state: exited(126), stderr: "exec /greet failed", want: backend.Exit{
				Code: 126, Reason: "it exited with code 126", Detail: "exec /greet failed"}},
	} {
		t.Run(title, func(t *testing.T) {
			seen := container.InspectResponse{
				State: &c.state, HostConfig: &container.HostConfig{Resources: container.Resources{Memory: c.memory}},
			}
			n := own.is(c.phase, time.Time{})
			if !ended(seen.State, n) {
				t.Error("it has not exited")
			}
			if got := describe(seen, n, c.stderr); got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestNotEnded(t *testing.T) {
	for _, s := range []container.ContainerState{
		container.StateCreated, container.StateRunning, container.StatePaused, container.StateRestarting,
		container.StateRemoving,
	} {
		if ended(&container.State{Status: s}, name{}) {
			t.Errorf("%s counts as exited", s)
		}
	}
}
