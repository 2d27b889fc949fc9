//go:build kubernetes

// Package backend_test runs the spawner's Kubernetes backend in a real cluster.
package backend_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dagyo/dagyo/services/spawner/backendtest"
	"github.com/dagyo/dagyo/tests/kubernetes/cluster"
)

// envRole makes the test binary the program of an executor.
const envRole = "KUBERNETES_TEST_ROLE"

// image is one with the test binary in it, by digest.
var image string

func TestMain(m *testing.M) {
	if os.Getenv(envRole) != "" {
		os.Exit(backendtest.Program())
	}
	var err error
	if image, err = pushSelf(); err != nil {
		fmt.Fprintln(os.Stderr, "making the image of the test program:", err)
		os.Exit(2)
	}
	goleak.VerifyTestMain(m)
}

// pushSelf makes an image of this very program.
func pushSelf() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	built, err := cluster.Image{
		Files:      map[string]string{"/program": self},
		Entrypoint: []string{"/program"},
		Env:        []string{envRole + "=program"},
	}.Build()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return cluster.Push(ctx, "backend-test/program:latest", built)
}
