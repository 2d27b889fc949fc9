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

// An Output is where the records of a flow's output go to: a file, or a folder in which each is a file.
type Output struct {
	Spec
	file    *os.File // a file that is open; nil for a folder, a named pipe and standard output
	folder  *folder
	pipe    bool
	created bool // by us
	use     Use
}

// OpenOutputs opens the files of outputs and makes their folders. A file keeps its content until Begin.
// Errors are about the user's arguments; after one, nothing has changed.
func OpenOutputs(specs []Spec, stdout io.Writer) (outputs []*Output, err error) {
	defer func() {
		if err != nil {
			Discard(outputs)
		}
	}()
	// Folders come first: what they hold is looked at before there are new files.
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
		return fmt.Errorf("name a file: --output %s=FILE, or %s=%s for standard output", o.Name, o.Name, Stdio)
	case o.Path == Stdio || isSameStream(stdout, o.Path):
		o.Path = Stdio
		return nil
	case o.isEach():
		return o.openFolder()
	}
	return o.openFile()
}

// Discard closes outputs that were not begun.
func Discard(outputs []*Output) {
	for _, o := range outputs {
		o.discard()
	}
}

// isEach reports whether each record of an output is to be a file.
func (s Spec) isEach() bool { return s.Path != "" && (isFolder(s.Path) || hasWildcard(s.Path)) }

// hasWildcard reports whether the name of a file has the wildcard. An existing file is taken literally.
func hasWildcard(path string) bool {
	_, err := os.Lstat(path)
	return err != nil && strings.Contains(filepath.Base(path), wildcard)
}

// isFolder reports whether a path names a folder, be it there or not.
func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir() || os.IsPathSeparator(path[len(path)-1])
}

func (o *Output) openFolder() (err error) {
	if !o.Raw {
		return fmt.Errorf("%s names a folder or a pattern: write --output %s=@%s to write each record into "+
			"a file of its own", o.Path, o.Name, o.Path)
	}
	o.folder, o.created, err = openFolder(o.Path)
	return err
}

func (o *Output) openFile() error {
	info, err := os.Stat(o.Path)
	if err == nil && info.Mode()&fs.ModeNamedPipe != 0 {
		o.pipe, o.use.Info = true, info // to open it may wait for its reader
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

// Uses are the files that the output writes.
func (o *Output) Uses() []Use { return []Use{o.use} }

// Stdout reports whether the records go to standard output.
func (o *Output) Stdout() bool { return o.Path == Stdio }

// Each reports whether each record is a file.
func (o *Output) Each() bool { return o.folder != nil }

// FormatOf is how records of the typename are written.
func (o *Output) FormatOf(typename string) Format { return o.format(typename, o.Each()) }

// Begin returns the file, emptied; nil for a folder and for standard output. A named pipe is opened now,
// which waits for its reader until the context ends.
func (o *Output) Begin(ctx context.Context) (*os.File, error) {
	f := o.file
	o.file, o.created = nil, false // Discard must not touch it any more
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

// discard closes what was opened, and removes what was made, unless it was begun.
func (o *Output) discard() {
	if o.file != nil {
		_ = o.file.Close() // nothing was written
	}
	switch {
	case !o.created:
	case o.folder != nil:
		_ = os.Remove(o.folder.path) // fails, as it should, where there is something in it
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
	// The opening goes on waiting for a reader, so be one.
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

// wildcard stands for the number of a record in the name of its file.
const wildcard = "*"

// A folder holds each record in a file of its own. A name is a number between a prefix and a suffix that
// the user chooses; the content of a record has no part in it.
type folder struct {
	path           string
	prefix, suffix string
	named          bool // the user has given a pattern
}

// openFolder makes a folder, unless it is there, and makes sure that it can be written to and that no
// file in it has a name that a record's file could get.
func openFolder(path string) (f *folder, created bool, err error) {
	f = &folder{path: path}
	if base := filepath.Base(path); !isFolder(path) {
		f.path, f.named = filepath.Dir(path), true
		f.prefix, f.suffix, _ = strings.Cut(base, wildcard)
		if strings.Contains(f.suffix, wildcard) {
			return nil, false, fmt.Errorf("%s has more than one *, which stands for the record's number", path)
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
			return fmt.Errorf("%s already has files such as %s: name an empty or a new folder", f.path, e.Name())
		}
	}
	probe, err := os.CreateTemp(f.path, ".dagyo-*")
	if err != nil {
		return err
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// couldName reports whether a record's file could have the name. In a folder without a pattern that is any
// name that is not hidden.
func (f *folder) couldName(name string) bool {
	if !f.named {
		return !isHidden(name)
	}
	return len(name) > len(f.prefix)+len(f.suffix) &&
		strings.HasPrefix(name, f.prefix) && strings.HasSuffix(name, f.suffix)
}

// WriteEach writes the record of a number, counted from 0, into a file of its own.
func (o *Output) WriteEach(number int64, typename string, record []byte) (err error) {
	path := filepath.Join(o.folder.path, o.folder.name(number, typename))
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	_, err = f.Write(o.encode(typename, record))
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path)) // half a record is none
	}
	return nil
}

func (o *Output) encode(typename string, record []byte) []byte {
	if format := o.FormatOf(typename); format != Whole {
		return format.Append(nil, typename, record)
	}
	return record
}

// name is that of the file of a record.
func (f *folder) name(number int64, typename string) string {
	suffix := f.suffix
	if !f.named {
		suffix = Ending(typename)
	}
	return fmt.Sprintf("%s%08d%s", f.prefix, number, suffix)
}

// Ending is that of a file which is a record of the typename.
func Ending(typename string) string {
	switch typename {
	case TypeText:
		return ".txt"
	case TypeJSON:
		return ".json"
	}
	return ".bin"
}

// collides reports whether two outputs could write a file of one name.
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

// collision reports the first two outputs that could write a file of one name into a folder.
func collision(outputs []*Output) error {
	for _, a := range outputs {
		for _, b := range outputs {
			if a != b && a.collides(b) {
				return fmt.Errorf("outputs %s and %s could write the same file in %s: name another folder",
					a.Name, b.Name, a.folder.path)
			}
		}
	}
	return nil
}
