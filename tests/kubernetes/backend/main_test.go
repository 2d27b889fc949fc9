//go:build kubernetes

package backend

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

// image is an image of the test binary, by digest.
var image string

func TestMain(m *testing.M) {
	switch os.Getenv(envRole) {
	case "program":
		os.Exit(backendtest.Program())
	case "hog":
		hog()
	}
	var err error
	if image, err = pushSelf(); err != nil {
		fmt.Fprintln(os.Stderr, "building the image of the test program:", err)
		os.Exit(2)
	}
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) // the connection to the registry stays open
}

// hog allocates memory until it is stopped.
func hog() {
	for kept := [][]byte{}; ; {
		more := make([]byte, 1<<20)
		for i := range more {
			more[i] = 1
		}
		kept = append(kept, more)
	}
}

// pushSelf builds and pushes an image of this program.
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
