package shim_test

import (
	"fmt"

	"github.com/dagyo/dagyo/executor/shim"
)

// A port's framing is set by its name; the others' follow from their typenames.
func ExampleParseFramings() {
	framings, err := shim.ParseFramings("frames=raw, meta=jsonl")
	fmt.Println(framings, err)
	_, err = shim.ParseFramings("frames=row")
	fmt.Println(err)
	// Output:
	// map[frames:raw meta:jsonl] <nil>
	// unknown framing "row": use one of [lines nul length jsonl raw]
}

// Main does the same from arguments, in the command dagyo-exec.
func ExampleConfig_Program() {
	c, err := shim.DefaultConfig([]string{"sort", "--zero-terminated"}, shim.Settings{Framing: []string{"nul"}})
	fmt.Println(c.Program().Dynamic, err)
	// In main: executor.Main(c.Program())
	// Output: true <nil>
}
