package e2e

import (
	"testing"

	"github.com/dagyo/dagyo/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
