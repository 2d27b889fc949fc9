package docker

import (
	"strings"

	"github.com/moby/moby/api/types/container"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/services/spawner/backend"
)

// signals are Linux's signals by number, regardless of the system on which this program runs.
var signals = [...]string{
	1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS",
	8: "SIGFPE", 9: "SIGKILL", 10: "SIGUSR1", 11: "SIGSEGV", 12: "SIGUSR2", 13: "SIGPIPE",
	14: "SIGALRM", 15: "SIGTERM", 16: "SIGSTKFLT", 17: "SIGCHLD", 18: "SIGCONT", 19: "SIGSTOP",
	20: "SIGTSTP", 21: "SIGTTIN", 22: "SIGTTOU", 23: "SIGURG", 24: "SIGXCPU", 25: "SIGXFSZ",
	26: "SIGVTALRM", 27: "SIGPROF", 28: "SIGWINCH", 29: "SIGIO", 30: "SIGPWR", 31: "SIGSYS",
}

// signalBase is what Docker adds to the number of a signal to form an exit code.
const signalBase = 128

// signalOf returns the signal for an exit code, or "" for none.
func signalOf(code int) string {
	if n := code - signalBase; 0 < n && n < len(signals) {
		return signals[n]
	}
	return ""
}

// ended reports whether a container will never run again.
func ended(s *container.State, n name) bool {
	switch s.Status {
	case container.StateExited, container.StateDead:
		return true
	case container.StateCreated:
		return s.Error != "" || n.phase == abandoned
	}
	return false
}

// describe explains how a container ended. stderr is the end of its standard error.
func describe(c container.InspectResponse, n name, stderr string) backend.Exit {
	if c.State.Status == container.StateCreated {
		return describeUnstarted(c.State.Error)
	}
	if why, ok := initFailure(c.State.ExitCode, stderr); ok {
		return backend.Exit{Code: c.State.ExitCode, Detail: stderr, Permanent: true, Reason: why}
	}
	exit := backend.Exit{Code: c.State.ExitCode, Signal: signalOf(c.State.ExitCode), Detail: stderr}
	if exit.Signal != "" {
		exit.Code = -1
	}
	exit.Reason = reason(c, n, exit)
	return exit
}

// describeUnstarted explains why a container never ran, with the daemon's message if there is one.
func describeUnstarted(why string) backend.Exit {
	exit := backend.Exit{Code: -1, Reason: "it was never started: the spawner exited while starting it"}
	if refusal := unstartable(why); refusal != nil {
		exit.Reason, exit.Permanent = never(refusal), true
	} else if why != "" {
		exit.Reason = "it could not be started: " + document.Shorten(why, wordsLimit)
	}
	return exit
}

func reason(c container.InspectResponse, n name, exit backend.Exit) string {
	how := contract.PlainEnding(exit.Code, exit.Signal)
	switch {
	case c.State.OOMKilled && exit.Signal == "SIGKILL":
		return "the kernel killed it: it used more memory than " + memoryLimit(c)
	case c.State.OOMKilled:
		return how + ", after the kernel killed one of its processes: it used more memory than " + memoryLimit(c)
	case n.phase == givenUp && exit.Signal == "SIGKILL":
		return "it was killed: it did not exit when told to"
	}
	return how
}

func memoryLimit(c container.InspectResponse) string {
	if c.HostConfig == nil || c.HostConfig.Memory == 0 {
		return "the machine has"
	}
	return "its limit of " + resource.NewQuantity(c.HostConfig.Memory, resource.BinarySI).String()
}

// initFailure recognises the last message of Docker's init process, which starts the program, if the system
// cannot execute it: a script without its interpreter, a binary for another machine.
func initFailure(code int, stderr string) (why string, ok bool) {
	const fatal, verb = "[FATAL tini (", " exec "
	if code != 126 && code != 127 || !strings.HasPrefix(stderr, fatal) {
		return "", false
	}
	_, what, ok := strings.Cut(strings.TrimSpace(stderr), verb)
	return "the system cannot execute the program in the image: " + what +
		"; build the image for this machine, with the program's interpreter and loader in it", ok
}
