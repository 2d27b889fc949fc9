//go:build !linux

package process_test

// attack is for Linux only: nothing is isolated elsewhere.
func attack([]string) int { return 2 }
