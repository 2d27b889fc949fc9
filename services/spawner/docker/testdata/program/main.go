// Command program is the program that the tests run in containers: the suite's program, and a few others.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/dagyo/dagyo/services/spawner/backendtest"
	"github.com/dagyo/dagyo/services/spawner/docker"
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
	case "spawner":
		spawner()
	case "nothing":
	default:
		fmt.Fprintf(os.Stderr, "no role %q\n", role)
		os.Exit(2)
	}
}

// hog allocates memory until it is stopped.
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

// spawner opens and closes a backend, which logs to standard error.
func spawner() {
	b, err := docker.New(context.Background(), docker.Config{
		Place: "test", Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err == nil {
		err = b.Close()
	}
	fmt.Fprintln(os.Stderr, "closed:", err)
}

// confess prints its privileges and limits on standard error, one fact per line.
func confess() {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	for line := range strings.Lines(string(status)) {
		key, value, _ := strings.Cut(line, ":")
		fact(key, strings.Join(strings.Fields(value), " "))
	}
	for _, dir := range []string{"/", "/tmp"} {
		fact("write "+dir, os.WriteFile(filepath.Join(dir, "file"), []byte("x"), 0o600))
	}
	fact("run /tmp", run("/tmp/program"))
	var fs syscall.Statfs_t
	if err := syscall.Statfs("/tmp", &fs); err != nil {
		fact("size /tmp", err)
	}
	fact("size /tmp", fs.Blocks*uint64(fs.Bsize))
	fact("pid", os.Getpid())
}

func fact(key string, value any) { fmt.Fprintf(os.Stderr, "%s: %v\n", key, value) }

// run runs a copy of the program.
func run(path string) error {
	self, err := os.ReadFile("/program")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, self, 0o700); err != nil {
		return err
	}
	return exec.Command(path, "nothing").Run()
}
