package records

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// An Input is the source of the records of a flow's input.
type Input struct {
	Spec
	// Lenient accepts records that do not match their typename.
	Lenient bool

	stdin io.Reader // if the path is Stdio
	files []string  // otherwise; sorted
	each  bool      // the path is a folder or a pattern
	uses  []Use
}

// OpenInput finds the files of an input and checks that they can be read. Its errors are usage errors.
//
// No file is kept open. A file that is not regular, such as a named pipe, is opened when its records are
// read: its content can be read only once, and opening it may block.
func OpenInput(s Spec, stdin io.Reader) (*Input, error) {
	in := &Input{Spec: s}
	err := in.find(stdin)
	for i := 0; err == nil && i < len(in.files); i++ {
		err = in.probe(in.files[i])
	}
	if err != nil && s.Name != "" {
		err = fmt.Errorf("input %s: %w", s.Name, err)
	}
	if err != nil {
		return nil, err
	}
	return in, nil
}

func (i *Input) find(stdin io.Reader) error {
	switch {
	case i.Path == "":
		return fmt.Errorf("no file: write --input %s=FILE, or %s=%s for standard input", i.Name, i.Name, Stdio)
	case i.Path == Stdio || isSameStream(stdin, i.Path):
		i.Path, i.stdin = Stdio, stdin
		i.uses = append(i.uses, StreamUse(stdin, "input "+i.Name, false))
		return nil
	}
	info, err := os.Stat(i.Path)
	switch {
	case err == nil && info.IsDir():
		return i.findIn(i.Path)
	case err == nil || !i.Raw || !isPattern(i.Path):
		i.files = []string{i.Path}
		return nil
	}
	return i.findMatches()
}

// findIn lists the files in a folder.
func (i *Input) findIn(folder string) error {
	if !i.Raw {
		return fmt.Errorf("%s is a folder: write --input %s=@%s to feed each file in it as a record",
			folder, i.Name, folder)
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !isHidden(e.Name()) {
			i.files = append(i.files, filepath.Join(folder, e.Name()))
		}
	}
	return i.keepFiles(folder + " has no files")
}

func (i *Input) findMatches() error {
	matches, err := filepath.Glob(i.Path)
	if err != nil {
		return fmt.Errorf("%s: %w", i.Path, err)
	}
	for _, path := range matches {
		if !hiddenMatch(i.Path, path) {
			i.files = append(i.files, path)
		}
	}
	return i.keepFiles("no file matches " + i.Path)
}

// keepFiles removes folders, and sorts the files.
func (i *Input) keepFiles(none string) error {
	i.each = true
	i.files = slices.DeleteFunc(i.files, func(path string) bool {
		info, err := os.Stat(path)
		return err == nil && info.IsDir()
	})
	slices.Sort(i.files)
	if len(i.files) == 0 {
		return fmt.Errorf("%s (hidden files and folders are skipped)", none)
	}
	return nil
}

// probe checks that a file can be read.
func (i *Input) probe(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	i.uses = append(i.uses, Use{Who: fmt.Sprintf("input %s (%s)", i.Name, path), Info: info})
	switch {
	case info.Mode().IsRegular():
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		return f.Close()
	case i.each:
		return fmt.Errorf("%s is not a regular file", path)
	}
	return nil
}

// Uses returns the files that the input reads.
func (i *Input) Uses() []Use { return i.uses }

// Stdin reports whether the input is read from standard input.
func (i *Input) Stdin() bool { return i.stdin != nil }

// CheckLimit bounds how much of an input Check reads, in bytes. It is larger than the limit of a line.
const CheckLimit = 2 * LineLimit

// Check reports invalid records in regular files. It reads the first CheckLimit bytes of the input, and
// consumes nothing.
func (i *Input) Check(ctx context.Context, typename string) error {
	if err := i.check(ctx, typename, CheckLimit); err != nil {
		return fmt.Errorf("input %s: %w", i.Name, err)
	}
	return nil
}

func (i *Input) check(ctx context.Context, typename string, left int64) error {
	if i.stdin != nil {
		if in := peek(i.stdin); in != nil {
			return i.checkFile(ctx, Stdio, in, typename, &left)
		}
		return nil
	}
	for _, path := range i.files {
		if err := i.checkPath(ctx, path, typename, &left); err != nil || left <= 0 {
			return err
		}
	}
	return nil
}

func (i *Input) checkPath(ctx context.Context, path, typename string, left *int64) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return i.wrap(path, err)
	case !info.Mode().IsRegular():
		return nil
	case i.format(typename, i.each) == Whole:
		if info.Size() > FileLimit {
			return i.wrap(path, errTooLarge)
		}
		if !IsText(typename) || info.Size() > *left {
			return nil
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return i.wrap(path, err)
	}
	defer f.Close()
	return i.checkFile(ctx, path, f, typename, left)
}

// checkFile reads a file until the remaining bytes are used up.
func (i *Input) checkFile(
	ctx context.Context, path string, file io.Reader, typename string, left *int64,
) error {
	in := &cut{in: file, left: left}
	r := NewReader(in, i.format(typename, i.each), typename)
	for ctx.Err() == nil {
		_, err := r.Next()
		switch {
		case *left <= 0, errors.Is(err, io.EOF):
			return nil // the last record is truncated
		case err != nil:
			return i.wrap(path, i.advise(err, i.format(typename, i.each), typename))
		}
	}
	return context.Cause(ctx)
}

// A cut ends a file when no bytes remain.
type cut struct {
	in   io.Reader
	left *int64
}

// Read implements io.Reader.
func (c *cut) Read(b []byte) (int, error) {
	if *c.left <= 0 {
		return 0, io.EOF
	}
	n, err := c.in.Read(b[:min(int64(len(b)), *c.left)])
	*c.left -= int64(n)
	return n, err
}

// Records yields the records of all files. The caller owns yielded records.
func (i *Input) Records(typename string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if i.stdin != nil {
			i.read(Stdio, i.stdin, typename, yield)
			return
		}
		for _, path := range i.files {
			if !i.readPath(path, typename, yield) {
				return
			}
		}
	}
}

func (i *Input) readPath(path, typename string, yield func([]byte, error) bool) bool {
	f, err := os.Open(path)
	if err != nil {
		yield(nil, i.wrap(path, err))
		return false
	}
	defer f.Close()
	return i.read(path, f, typename, yield)
}

// read reports whether to continue.
func (i *Input) read(path string, in io.Reader, typename string, yield func([]byte, error) bool) bool {
	format := i.format(typename, i.each)
	r := NewReader(in, format, typename)
	r.Lenient = i.Lenient
	for {
		record, err := r.Next()
		if errors.Is(err, io.EOF) {
			return true
		}
		if err != nil {
			yield(nil, i.wrap(path, i.advise(err, format, typename)))
			return false
		}
		if !yield(record, nil) {
			return false
		}
	}
}

// wrap adds the file to an error.
func (i *Input) wrap(path string, err error) error {
	var about *fs.PathError
	switch {
	case path == Stdio:
		return fmt.Errorf("standard input: %w", err)
	case errors.As(err, &about):
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}

// peek returns the rest of a regular file without consuming it, or nil for other files.
func peek(in io.Reader) io.Reader {
	f, ok := in.(*os.File)
	if !ok {
		return nil
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	at, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil
	}
	return io.NewSectionReader(f, at, info.Size()-at)
}

// isPattern reports whether a path contains special characters of filepath.Match.
func isPattern(path string) bool { return strings.ContainsAny(path, `*?[\`) }

func isHidden(name string) bool { return strings.HasPrefix(name, ".") }

// hiddenMatch reports whether a pattern matches a path only because a wildcard matches a leading dot: as in
// a shell, a leading dot must be matched explicitly.
func hiddenMatch(pattern, path string) bool {
	patterns, names := elements(pattern), elements(path)
	for n, name := range names {
		if n < len(patterns) && isHidden(name) && !isHidden(patterns[n]) {
			return true
		}
	}
	return false
}

func elements(path string) []string {
	return strings.Split(filepath.ToSlash(filepath.Clean(path)), "/")
}
