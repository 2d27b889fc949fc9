package shim

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// envRole makes the test binary the first process of a PID namespace.
const envRole = "SHIM_TEST_AS_INIT"

func TestMain(m *testing.M) {
	if os.Getenv(envRole) != "" {
		code, was := Init()
		if !was {
			code = workUnderInit()
		}
		os.Exit(code)
	}
	goleak.VerifyTestMain(m)
}

// workUnderInit leaves an orphan and reports whether it is reaped. Then it waits for a signal.
func workUnderInit() int {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	out, err := exec.Command("sh", "-c", "true >/dev/null & echo $!").Output()
	if err != nil {
		return 1
	}
	orphan, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		return 1
	}
	for !errors.Is(syscall.Kill(orphan, 0), syscall.ESRCH) {
		time.Sleep(time.Millisecond) // not our child, so it cannot be waited for
	}
	fmt.Println("reaped")
	<-signals
	return 42
}

// In a container the executor is PID 1: orphans are reaped, signals arrive, and the exit code is its own.
func TestFirstProcess(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), envRole+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); errors.Is(err, syscall.EPERM) {
		t.Skip("making a PID namespace needs privileges")
	} else if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if line != "reaped\n" || err != nil {
		t.Errorf("it printed %q, %v", line, err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 42 {
		t.Errorf("it ended with %v, want exit code 42", err)
	}
}
