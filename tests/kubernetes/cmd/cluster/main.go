//go:build linux

// Cluster brings up a real Kubernetes for tests, runs commands in it, and takes it down.
// See tests/kubernetes/README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/dagyo/dagyo/tests/kubernetes/cluster"
)

const usage = `usage: cluster [-state DIR] COMMAND

outside:
  up [-nodes real=1,simulated=0] [-patience 2m]   start a cluster
  down                                            end and remove the cluster
  run [-nodes …] [-patience …] -- PROGRAM …       up, exec and down; keeps the logs if PROGRAM fails
  exec -- PROGRAM …                               run a program inside
  load IMAGE.tar …                                push images written by docker save

inside:
  image TAG PROGRAM [FILE …]                      push an image that runs PROGRAM; print its digest
  push IMAGE.tar …                                the same as load
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:])
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.Exited():
		os.Exit(exit.ExitCode())
	case err != nil:
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	config := cluster.Config{Distribution: filepath.Dir(self)}
	flags := flag.NewFlagSet("cluster", flag.ExitOnError)
	flags.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	state := flags.String("state", filepath.Join(config.Distribution, "state"), "")
	flags.Parse(args)
	if config.State, err = filepath.Abs(*state); err != nil {
		return err
	}
	args = flags.Args()
	if len(args) == 0 {
		args = []string{"help"}
	}
	switch command, args := args[0], args[1:]; command {
	case cluster.InitCommand:
		return cluster.Init(args[0])
	case cluster.SuperviseCommand:
		return cluster.Supervise(args[0])
	case "up":
		_, err := up(ctx, config, args)
		return err
	case "down":
		return cluster.Down(config.State, false)
	case "run":
		return upAndDown(ctx, config, args)
	case "exec":
		return inside(config.State, args)
	case "load":
		return cluster.Exec(config.State, append([]string{self, "push"}, args...)...)
	case "push":
		return push(ctx, args)
	case "image":
		return image(ctx, args)
	}
	flags.Usage()
	return errors.New("missing command")
}

// up starts the cluster and returns the remaining arguments.
func up(ctx context.Context, config cluster.Config, args []string) (rest []string, err error) {
	flags := flag.NewFlagSet("up", flag.ExitOnError)
	flags.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	nodes := flags.String("nodes", "real=1", "")
	flags.DurationVar(&config.Patience, "patience", 2*time.Minute, "")
	flags.Parse(args)
	if err := setNodes(&config, *nodes); err != nil {
		return nil, err
	}
	began := time.Now()
	if err := cluster.Up(ctx, config); err != nil {
		return nil, fmt.Errorf("%w\nthe logs are in %s", err, logs(config))
	}
	fmt.Fprintf(os.Stderr, "cluster: up after %.1f s\n", time.Since(began).Seconds())
	return flags.Args(), nil
}

func setNodes(config *cluster.Config, nodes string) error {
	for part := range strings.SplitSeq(nodes, ",") {
		kind, number, _ := strings.Cut(part, "=")
		n, err := strconv.ParseUint(number, 10, 12)
		switch {
		case err != nil:
			return fmt.Errorf("nodes %s: not a number: %w", part, err)
		case kind == cluster.Real && n <= 1:
			config.Real = n == 1
		case kind == cluster.Simulated:
			config.Simulated = int(n)
		default:
			return fmt.Errorf("nodes %s: want real=1 (or 0), simulated=N or both", part)
		}
	}
	return nil
}

// upAndDown runs a command in a new cluster. If the command fails, the logs are kept.
func upAndDown(ctx context.Context, config cluster.Config, args []string) error {
	args, err := up(ctx, config, args)
	if err != nil {
		return err
	}
	err = inside(config.State, args)
	began := time.Now()
	if down := cluster.Down(config.State, err != nil); down != nil {
		return errors.Join(err, down)
	}
	fmt.Fprintf(os.Stderr, "cluster: down after %.1f s\n", time.Since(began).Seconds())
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster: the logs are in", logs(config))
	}
	return err
}

func logs(config cluster.Config) string { return filepath.Join(config.State, "log") }

func inside(state string, args []string) error {
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		return errors.New("missing command to run inside")
	}
	return cluster.Exec(state, args...)
}

func push(ctx context.Context, archives []string) error {
	for _, archive := range archives {
		pushed, err := cluster.Load(ctx, archive)
		for _, reference := range pushed {
			fmt.Println(reference)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// image builds an image with the files in the root directory, which runs the first one.
func image(ctx context.Context, args []string) error {
	if len(args) < 2 {
		return errors.New("missing tag or program")
	}
	content := cluster.Image{Files: map[string]string{}}
	for _, file := range args[1:] {
		content.Files["/"+filepath.Base(file)] = file
	}
	content.Entrypoint = []string{"/" + filepath.Base(args[1])}
	built, err := content.Build()
	if err != nil {
		return err
	}
	reference, err := cluster.Push(ctx, args[0], built)
	if err != nil {
		return err
	}
	fmt.Println(reference)
	return nil
}
