package pace

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
)

// System reads the load of this machine, from /proc/stat. Where there is no such file, the machine counts
// as idle.
func System() (runnable, processors int) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, runtime.NumCPU()
	}
	return running(stat), runtime.NumCPU()
}

// running finds the number of threads that run or are ready to.
func running(stat []byte) int {
	_, rest, _ := bytes.Cut(stat, []byte("\nprocs_running "))
	number, _, _ := bytes.Cut(rest, []byte("\n"))
	n, _ := strconv.Atoi(string(number)) // 0 where the kernel does not say
	return n
}
