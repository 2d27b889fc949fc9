package worker

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
)

// A profile is a running CPU profile; nil means none.
type profile struct {
	path string
	file *os.File
}

// startProfile starts writing path.cpu. When the profile ends, path.allocs is also written.
func startProfile(path string) (*profile, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Create(path + ".cpu")
	if err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("profile: %w", err), f.Close())
	}
	return &profile{path: path, file: f}, nil
}

func (p *profile) stop() error {
	if p == nil {
		return nil
	}
	pprof.StopCPUProfile()
	err := p.file.Close()
	f, createErr := os.Create(p.path + ".allocs")
	if createErr != nil {
		return errors.Join(err, createErr)
	}
	runtime.GC() // the profile is as of the last collection
	return errors.Join(err, pprof.Lookup("allocs").WriteTo(f, 0), f.Close())
}
