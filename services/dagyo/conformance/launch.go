package conformance

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
)

const (
	// containerPrefix begins the names of the kit's containers.
	containerPrefix = "dagyo-conformance-"
	// dockerWait bounds what Docker needs to remove containers.
	dockerWait = 30 * time.Second
)

// A launcher makes executors' processes.
type launcher interface {
	// find reports whether there is what it launches with.
	find() error
	// launch returns a process that is to be started, and what removes the rest of it when it has ended. credentials is
	// the path of a file that the process must be able to read: "" for none.
	launch(environ []string, credentials string) (cmd *exec.Cmd, remove func(), err error)
	// close removes what is left of all of them.
	close() error
}

func (c Config) launcher() launcher {
	if c.Image == "" {
		return command(c.Command)
	}
	return &image{name: c.Image, args: c.Command, prefix: containerPrefix + strings.ToLower(rand.Text()[:10]) + "-"}
}

// A command is launched as it is.
type command []string

func (c command) find() error {
	if _, err := exec.LookPath(c[0]); err != nil {
		return fmt.Errorf("find the executor's program: %w", err)
	}
	return nil
}

func (c command) launch(environ []string, credentials string) (*exec.Cmd, func(), error) {
	cmd := exec.Command(c[0], c[1:]...)
	cmd.Env = environ
	if credentials != "" {
		cmd.Env = append(cmd.Env, contract.EnvCreds+"="+credentials)
	}
	return cmd, func() {}, nil
}

func (c command) close() error { return nil }

// An image is launched by a client of Docker, which hands signals and exit code on. A client that is
// killed leaves its container.
type image struct {
	name   string
	args   []string
	prefix string // of its containers' names
	number atomic.Int64
}

func (i *image) find() error {
	if _, err := exec.LookPath("docker"); err != nil {
		return fmt.Errorf("find what runs images: %w", err)
	}
	return nil
}

func (i *image) launch(environ []string, credentials string) (*exec.Cmd, func(), error) {
	container := fmt.Sprint(i.prefix, i.number.Add(1))
	if credentials != "" {
		// The image may run as any user, so the file is readable for all; its directory is closed to others.
		if err := os.Chmod(credentials, 0o644); err != nil {
			return nil, nil, fmt.Errorf("let the container read its credentials: %w", err)
		}
		environ = append(environ, contract.EnvCreds+"="+mountedCredentials)
	}
	cmd := exec.Command("docker", i.arguments(container, environ, credentials)...)
	cmd.Env = environ
	return cmd, func() { _, _ = docker("rm", "--force", container) }, nil // or close tells
}

// mountedCredentials is where a container has its credentials.
const mountedCredentials = "/run/dagyo/nats.creds"

// arguments are the client's. Values stay in its environment.
func (i *image) arguments(container string, environ []string, credentials string) []string {
	args := []string{"run", "--rm", "--name", container, "--init=false", "--network", "host", "--read-only"}
	if credentials != "" {
		args = append(args, "--mount", "type=bind,readonly,source="+credentials+",target="+mountedCredentials)
	}
	var names []string
	for _, e := range environ {
		if name, _, _ := strings.Cut(e, "="); strings.HasPrefix(name, "DAGYO_") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		args = append(args, "-e", name)
	}
	return append(append(args, i.name), i.args...)
}

// close removes the containers that came into being while their client was killed.
func (i *image) close() error {
	out, err := docker("ps", "--all", "--quiet", "--filter", "name=^"+i.prefix)
	if ids := strings.Fields(out); err == nil && len(ids) > 0 {
		_, err = docker(append([]string{"rm", "--force"}, ids...)...)
	}
	if err != nil {
		return fmt.Errorf("remove the containers %s*: %w", i.prefix, err)
	}
	return nil
}

func docker(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), dockerWait)
	defer cancel()
	cmd := exec.CommandContext(ctx, "docker", args...)
	var out, said strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("docker %s: %w: %s", args[0], err, strings.TrimSpace(said.String()))
	}
	return out.String(), nil
}
