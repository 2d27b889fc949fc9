// Package policyfile reads the policy of an installation from a file, and takes over each change of the file.
package policyfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/policy"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/services/dagyo/docfile"
)

// Interval is the time between two readings of the file. A change is taken over once two readings are equal: a file
// that is being written could be valid, and allow more.
const Interval = time.Second

// sizeLimit bounds the file, in bytes.
const sizeLimit = 1 << 20

// A File is a policy in a file.
type File struct {
	path    string
	onHost  bool
	log     zerolog.Logger
	current *policy.Current
	// adopted is the text of the current policy, seen that of the last reading, failed the last error that was logged.
	adopted, seen []byte
	failed        string
}

// Open reads the policy in a file. If the policy is not valid, the error is a problem.List with positions in the file.
// onHost is true if executors run on this machine.
func Open(path string, onHost bool, log zerolog.Logger) (*File, error) {
	f := &File{path: path, onHost: onHost, log: log}
	raw, err := f.read()
	if err != nil {
		return nil, err
	}
	p, err := f.parse(raw)
	if err != nil {
		return nil, err
	}
	f.current, f.adopted, f.seen = policy.NewCurrent(p), raw, raw
	return f, nil
}

// Current returns the policy, which changes with the file.
func (f *File) Current() *policy.Current { return f.current }

// Watch takes over changes of the file until the context ends. A version that is not valid is logged, and the one before
// is kept.
func (f *File) Watch(ctx context.Context) {
	t := time.NewTicker(Interval)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			f.poll()
		case <-ctx.Done():
			return
		}
	}
}

// poll reads the file, and takes over its content if it is new and complete.
func (f *File) poll() {
	raw, err := f.read()
	if err != nil {
		f.complain(err)
		return
	}
	complete := bytes.Equal(raw, f.seen)
	f.seen = raw
	switch {
	case bytes.Equal(raw, f.adopted):
		f.failed = ""
		return
	case !complete:
		return
	}
	p, err := f.parse(raw)
	if err != nil {
		f.complain(err)
		return
	}
	f.adopted, f.failed = raw, ""
	f.log.Info().Str("policy", f.path).Msg("the policy has changed")
	f.current.Set(p)
}

// complain logs an error, once.
func (f *File) complain(err error) {
	text := Explain(err)
	if text == f.failed {
		return
	}
	f.failed = text
	f.log.Error().Str("policy", f.path).Str("error", text).
		Msg("the policy has changed and cannot be used; the previous version stays in force")
}

// Explain formats the error of a policy: each problem on a line of its own.
func Explain(err error) string {
	var problems problem.List
	if !errors.As(err, &problems) {
		return err.Error()
	}
	lines := []string{document.Count(len(problems), "problem")}
	for _, p := range problems {
		lines = append(lines, "  "+p.String())
	}
	return strings.Join(lines, "\n")
}

func (f *File) read() ([]byte, error) {
	in, err := os.Open(f.path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	raw, err := io.ReadAll(io.LimitReader(in, sizeLimit+1))
	if err == nil && len(raw) > sizeLimit {
		err = fmt.Errorf("the policy %s is larger than %d bytes", f.path, sizeLimit)
	}
	return raw, err
}

func (f *File) parse(raw []byte) (*policy.Policy, error) {
	doc, err := docfile.Read(bytes.NewReader(raw), f.path)
	if err != nil {
		return nil, err
	}
	p, problems := policy.Check(doc.JSON)
	if len(problems) > 0 {
		return nil, doc.Locate(problems)
	}
	dir, err := filepath.Abs(filepath.Dir(f.path))
	if err != nil {
		return nil, err
	}
	if p = p.Within(dir); f.onHost {
		p = p.OnHost()
	}
	return p, nil
}
