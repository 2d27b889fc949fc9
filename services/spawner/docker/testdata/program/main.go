// Program is what the tests run in containers: the suite's program, and a few others.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/dagyo/dagyo/services/spawner/backendtest"
)

func main() {
	role := "program"
	if len(os.Args) > 1 {
		role = os.Args[1]
	}
	switch role {
	case "program":
		os.Exit(backendtest.Program())
	case "hog":
		hog()
	case "confess":
		confess()
	default:
		fmt.Fprintf(os.Stderr, "no role %q\n", role)
		os.Exit(2)
	}
}

// hog uses memory until it is stopped.
func hog() {
	fmt.Fprintln(os.Stderr, "hungry")
	var all [][]byte
	for {
		b := make([]byte, 1<<20)
		for i := range b {
			b[i] = 1
		}
		all = append(all, b)
	}
}

// confess says on standard error what it may do.
func confess() {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	for line := range strings.Lines(string(status)) {
		if key, value, _ := strings.Cut(line, ":"); key == "Uid" || key == "Gid" || key == "CapEff" ||
			key == "CapBnd" || key == "NoNewPrivs" || key == "Seccomp" {
			fmt.Fprintf(os.Stderr, "%s %s\n", key, strings.Join(strings.Fields(value), " "))
		}
	}
	for _, dir := range []string{"/", "/tmp"} {
		err := os.WriteFile(dir+"/file", []byte("x"), 0o700)
		fmt.Fprintf(os.Stderr, "write %s %v\n", dir, err)
	}
	fmt.Fprintln(os.Stderr, "pid", os.Getpid())
}
