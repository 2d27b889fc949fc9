package backendtest

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/dagyo/dagyo/pkg/contract"
)

// EnvDial is the environment variable with the address of the test, as host:port.
const EnvDial = "BACKENDTEST_DIAL"

// envChild marks the program's own child: it is the suffix of the parent's id in its hello.
const envChild = "BACKENDTEST_CHILD"

// lostTest is the exit code of a program that has lost its test.
const lostTest = 99

// Program is the program that the suite runs on a backend. A harness builds an executable that calls it. It returns the
// exit code.
//
// It writes lines: first "hello <executor>", "sigterm" for each SIGTERM, and "ok <quoted>" for each executed command.
// The commands are "env <name>", "file <name of a variable with a path>", "overwrite <the same>",
// "stderr <quoted text>", "stdout <bytes>", "fork", "kill <signal number>", "exit <code>".
func Program() int {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM)
	conn, err := net.Dial("tcp", os.Getenv(EnvDial))
	if err != nil {
		fmt.Fprintln(os.Stderr, "backendtest: cannot connect to the test:", err)
		return lostTest
	}
	defer conn.Close()
	fmt.Fprintf(conn, "hello %s\n", os.Getenv(contract.EnvExecutor)+os.Getenv(envChild))
	told := make(chan string)
	go func() { // until the process exits
		defer close(told)
		for s := bufio.NewScanner(conn); s.Scan(); {
			told <- s.Text()
		}
	}()
	taken := false
	for {
		select {
		case <-signals:
			if taken {
				return 0
			}
			fmt.Fprintln(conn, "sigterm")
		case line, ok := <-told:
			if !ok {
				return lostTest
			}
			verb, arg, _ := strings.Cut(line, " ")
			switch verb {
			case "exit":
				return number(arg)
			case "taken": // another program has our name: like an executor, wait for SIGTERM
				taken = true
				continue
			}
			fmt.Fprintf(conn, "ok %q\n", obey(verb, arg))
		}
	}
}

// obey executes a command of the test and returns the answer.
func obey(verb, arg string) string {
	switch verb {
	case "env":
		return os.Getenv(arg)
	case "file":
		content, err := os.ReadFile(os.Getenv(arg))
		if err != nil {
			return err.Error()
		}
		return string(content)
	case "overwrite":
		path := os.Getenv(arg)
		for _, err := range []error{os.WriteFile(path, nil, 0o600), os.WriteFile(path+".more", nil, 0o600), os.Remove(path)} {
			if err == nil {
				return "done"
			}
		}
		return "refused"
	case "stderr":
		text, _ := strconv.Unquote(arg)
		fmt.Fprint(os.Stderr, text)
	case "stdout":
		noise := strings.Repeat("a line of noise on standard output, 48 bytes ...\n", 1000)
		for left := number(arg); left > 0; left -= len(noise) {
			fmt.Print(noise)
		}
	case "fork":
		return fmt.Sprint(fork())
	case "kill":
		return fmt.Sprint(syscall.Kill(os.Getpid(), syscall.Signal(number(arg))))
	}
	return ""
}

// fork starts the program as its own child, with the same standard output and error.
func fork() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	child := exec.Command(self, os.Args[1:]...)
	child.Env = append(os.Environ(), envChild+"=-child")
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	return child.Start()
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return lostTest
	}
	return n
}
