package spawner

import (
	"math"
	"strings"
	"testing"

	"github.com/dagyo/dagyo/pkg/document"
)

// The id of an executor is the same for every replica, and depends on the secret.
func TestExecutorIDs(t *testing.T) {
	one, other := NewState(DefaultLimits(), nil).WithSecret([]byte("one")), NewState(DefaultLimits(), nil).WithSecret([]byte("other"))
	seen := make(map[string]bool)
	for _, name := range []string{"a", "greet", strings.Repeat("long-", 12) + "abc", strings.Repeat("x", 33) + "-y"} {
		for number := range uint64(100) {
			number += math.MaxUint64 - 100
			id := one.executorID(name, name+".r1", number)
			if !document.ValidName(id) {
				t.Fatalf("%s is not an id", id)
			}
			again := NewState(DefaultLimits(), nil).WithSecret([]byte("one"))
			if id != again.executorID(name, name+".r1", number) {
				t.Fatalf("another replica names %s differently", id)
			}
			for _, x := range []string{
				id, one.executorID(name, name+".r2", number), other.executorID(name, name+".r1", number),
			} {
				if seen[x] {
					t.Fatalf("%s is given twice", x)
				}
				seen[x] = true
			}
		}
	}
}
