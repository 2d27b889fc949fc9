package process

import (
	"testing"

	"github.com/dagyo/dagyo/services/spawner/backend"
)

// A Start may look before another call's supervisor claims the executor, and its own supervisor may get the lock only
// after the other one has exited. It must not run the program again.
func TestClaimOutlivesTheLock(t *testing.T) {
	b, err := New(Config{
		Dir:     t.TempDir(),
		SelfEnv: map[string]string{"PROCESS_TEST_ROLE": "1", "GORACE": "atexit_sleep_ms=0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	h, err := b.home("one")
	if err != nil {
		t.Fatal(err)
	}
	o := order{Instance: backend.Instance{Executor: "one"}, Path: "/no/such/program"}
	if err := b.makeHome(h, plan{order: o}); err != nil {
		t.Fatal(err)
	}
	if err := h.takeClaim("another supervisor\n"); err != nil {
		t.Fatal(err)
	}
	answers, err := b.launch(h, o)
	if err != nil {
		t.Fatal(err)
	}
	defer answers.Close()
	if a, err := b.await(t.Context(), answers); err != nil || a.Verdict != taken {
		t.Errorf("the supervisor answered %+v, %v; want %q", a, err, taken)
	}
}
