package records

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// An Output is the destination of the records of a flow's output: a file, or a folder with one file per record.
type Output struct {
	Spec
	file    *os.File // an open file; nil for a folder, a named pipe and standard output
	folder  *folder
	pipe    bool
	created bool // by this command
	use     Use
}

// OpenOutputs opens the files of outputs and creates their folders. A file keeps its content until Begin.
// Its errors are usage errors; after an error, nothing has changed.
func OpenOutputs(specs []Spec, stdout io.Writer) (outputs []*Output, err error) {
	defer func() {
		if err != nil {
			Discard(outputs)
		}
	}()
	// Folders come first: their content is checked before files are created.
	ordered := slices.Clone(specs)
	slices.SortStableFunc(ordered, func(a, b Spec) int { return rank(a) - rank(b) })
	for _, s := range ordered {
		o := &Output{Spec: s, use: Use{Who: fmt.Sprintf("output %s (%s)", s.Name, s.Path), Writes: true}}
		outputs = append(outputs, o)
		if err := o.open(stdout); err != nil {
			return outputs, fmt.Errorf("output %s: %w", s.Name, err)
		}
	}
	return outputs, collision(outputs)
}

func rank(s Spec) int {
	if s.isEach() {
		return 0
	}
	return 1
}

func (o *Output) open(stdout io.Writer) error {
	switch {
	case o.Path == "":
		return fmt.Errorf("no file: write --output %s=FILE, or %s=%s for standard output", o.Name, o.Name, Stdio)
	case o.Path == Stdio || isSameStream(stdout, o.Path):
		o.Path = Stdio
		return nil
	case o.isEach():
		return o.openFolder()
	}
	return o.openFile()
}

// Discard closes outputs without Begin, and removes the files and folders that OpenOutputs created for them.
func Discard(outputs []*Output) {
	for _, o := range outputs {
		o.discard()
	}
}

// isEach reports whether an output has one file per record.
func (s Spec) isEach() bool { return s.Path != "" && (isFolder(s.Path) || hasWildcard(s.Path)) }

// hasWildcard reports whether a file name contains the wildcard. The name of an existing file is taken literally.
func hasWildcard(path string) bool {
	_, err := os.Lstat(path)
	return err != nil && strings.Contains(filepath.Base(path), wildcard)
}

// isFolder reports whether a path names a folder, existing or not.
func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir() || os.IsPathSeparator(path[len(path)-1])
}

func (o *Output) openFolder() (err error) {
	if !o.Raw {
		return fmt.Errorf("%s names a folder or a pattern: write --output %s=@%s to write each record to "+
			"a separate file", o.Path, o.Name, o.Path)
	}
	o.folder, o.created, err = openFolder(o.Path)
	return err
}

func (o *Output) openFile() error {
	info, err := os.Stat(o.Path)
	if err == nil && info.Mode()&fs.ModeNamedPipe != 0 {
		o.pipe, o.use.Info = true, info // opening it may wait for its reader
		return nil
	}
	o.file, err = os.OpenFile(o.Path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	o.created = err == nil
	if errors.Is(err, fs.ErrExist) {
		o.file, err = os.OpenFile(o.Path, os.O_WRONLY|os.O_CREATE, 0o666)
	}
	if err == nil {
		o.use.Info, err = o.file.Stat()
	}
	return err
}

// Uses returns the files that the output writes.
func (o *Output) Uses() []Use { return []Use{o.use} }

// Stdout reports whether the records are written to standard output.
func (o *Output) Stdout() bool { return o.Path == Stdio }

// Each reports whether each record is written to a separate file.
func (o *Output) Each() bool { return o.folder != nil }

// FormatOf returns the format for records of the typename.
func (o *Output) FormatOf(typename string) Format { return o.format(typename, o.Each()) }

// Begin truncates and returns the file, or returns nil for a folder and for standard output. It opens a
// named pipe, and waits for its reader until the context ends.
func (o *Output) Begin(ctx context.Context) (*os.File, error) {
	f := o.file
	o.file, o.created = nil, false // Discard must not close it
	switch {
	case o.pipe:
		return openPipe(ctx, o.Path)
	case f == nil:
		return nil, nil
	}
	info, err := f.Stat()
	if err == nil && info.Mode().IsRegular() {
		err = f.Truncate(0)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// discard closes opened files and removes created files, unless Begin was called.
func (o *Output) discard() {
	if o.file != nil {
		_ = o.file.Close() // nothing was written
	}
	switch {
	case !o.created:
	case o.folder != nil:
		_ = os.Remove(o.folder.path) // fails if it is not empty, as intended
	default:
		_ = os.Remove(o.Path)
	}
}

// openPipe opens a named pipe for writing.
func openPipe(ctx context.Context, path string) (*os.File, error) {
	type opened struct {
		file *os.File
		err  error
	}
	done := make(chan opened, 1)
	go func() {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		done <- opened{f, err}
	}()
	select {
	case o := <-done:
		return o.file, o.err
	case <-ctx.Done():
	}
	// Open is still waiting for a reader: become the reader.
	reader, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, errors.Join(context.Cause(ctx), err)
	}
	o := <-done
	if o.err == nil {
		_ = o.file.Close()
	}
	return nil, errors.Join(context.Cause(ctx), reader.Close())
}

// wildcard is replaced by the number of a record in the name of its file.
const wildcard = "*"

// A folder holds one file per record. A file name is a number between a prefix and a suffix that the user
// chooses; it does not depend on the content of the record.
type folder struct {
	path           string
	prefix, suffix string
	named          bool // the user set a pattern
}

// openFolder creates a folder if it does not exist, and checks that it is writable and has no file with a
// name that a record's file could get.
func openFolder(path string) (f *folder, created bool, err error) {
	f = &folder{path: path}
	if base := filepath.Base(path); !isFolder(path) {
		f.path, f.named = filepath.Dir(path), true
		f.prefix, f.suffix, _ = strings.Cut(base, wildcard)
		if strings.Contains(f.suffix, wildcard) {
			return nil, false, fmt.Errorf("%s has more than one *: only one * can be replaced by the record's number", path)
		}
	}
	err = os.Mkdir(f.path, 0o777)
	created = err == nil
	if err == nil || errors.Is(err, fs.ErrExist) {
		err = f.check()
	}
	if err != nil && created {
		_ = os.Remove(f.path)
	}
	return f, created && err == nil, err
}

func (f *folder) check() error {
	entries, err := os.ReadDir(f.path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if f.couldName(e.Name()) {
			return fmt.Errorf("%s already has files such as %s: use an empty or a new folder", f.path, e.Name())
		}
	}
	probe, err := os.CreateTemp(f.path, ".dagyo-*")
	if err != nil {
		return err
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// couldName reports whether a record's file could have the name. Without a pattern, that is any name that is
// not hidden.
func (f *folder) couldName(name string) bool {
	if !f.named {
		return !isHidden(name)
	}
	return len(name) > len(f.prefix)+len(f.suffix) &&
		strings.HasPrefix(name, f.prefix) && strings.HasSuffix(name, f.suffix)
}

// WriteEach writes the record with a number, counted from 0, to a separate file.
func (o *Output) WriteEach(number int64, typename string, record []byte) (err error) {
	path := filepath.Join(o.folder.path, o.folder.name(number, typename))
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	_, err = f.Write(o.encode(typename, record))
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path)) // do not keep a truncated record
	}
	return nil
}

func (o *Output) encode(typename string, record []byte) []byte {
	if format := o.FormatOf(typename); format != Whole {
		return format.Append(nil, typename, record)
	}
	return record
}

// name returns the name of a record's file.
func (f *folder) name(number int64, typename string) string {
	suffix := f.suffix
	if !f.named {
		suffix = Ending(typename)
	}
	return fmt.Sprintf("%s%08d%s", f.prefix, number, suffix)
}

// Ending returns the extension of a file with one record of the typename.
func Ending(typename string) string {
	switch typename {
	case TypeText:
		return ".txt"
	case TypeJSON:
		return ".json"
	}
	return ".bin"
}

// collides reports whether two outputs could write files with the same name.
func (o *Output) collides(other *Output) bool {
	switch {
	case o.folder == nil:
		return false
	case other.folder != nil:
		a, b := o.folder, other.folder
		return isSamePath(a.path, b.path) && a.prefix == b.prefix && (a.suffix == b.suffix || !a.named || !b.named)
	}
	return other.Path != Stdio && isSamePath(o.folder.path, filepath.Dir(other.Path)) &&
		o.folder.couldName(filepath.Base(other.Path))
}

func isSamePath(a, b string) bool {
	first, err := os.Stat(a)
	if err != nil {
		return false
	}
	second, err := os.Stat(b)
	return err == nil && os.SameFile(first, second)
}

// collision reports the first two outputs that could write files with the same name in one folder.
func collision(outputs []*Output) error {
	for _, a := range outputs {
		for _, b := range outputs {
			if a != b && a.collides(b) {
				return fmt.Errorf("outputs %s and %s could write the same file in %s: use another folder",
					a.Name, b.Name, a.folder.path)
			}
		}
	}
	return nil
}
