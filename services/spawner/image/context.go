package image

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/docker/go-units"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// ignoreFile lists the files of a context that are not sent. NAME.dockerignore next to the Dockerfile NAME takes
// precedence.
const ignoreFile = ".dockerignore"

// contextFiles limits the number of files in a context.
const contextFiles = 200_000

// A folder is a build context: the files of a directory that are sent to the builder.
type folder struct {
	root *os.Root
	// files are in lexical order; a directory precedes its content.
	files []file
}

type file struct {
	// path has slashes and is relative to the root.
	path string
	info fs.FileInfo
}

// openFolder lists the files to send, and rejects a total of more than limit bytes.
func openFolder(dir, dockerfile string, limit int64) (*folder, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, &ContextError{dir, fmt.Errorf("cannot be read: %w", cause(err))}
	}
	f := &folder{root: root}
	if err = f.scan(dockerfile); err == nil {
		err = f.bounded(limit)
	}
	if err != nil {
		_ = root.Close()
		return nil, &ContextError{dir, err}
	}
	return f, nil
}

func (f *folder) close() error { return f.root.Close() }

// cause returns an error without the operation and path at the beginning of its text.
func cause(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// scan lists the files that are not ignored.
func (f *folder) scan(dockerfile string) error {
	if !filepath.IsLocal(dockerfile) {
		return fmt.Errorf("cannot have the Dockerfile %q: it must be inside", dockerfile)
	}
	dockerfile = path.Clean(filepath.ToSlash(dockerfile))
	if _, err := f.root.Stat(dockerfile); err != nil {
		return fmt.Errorf("has no Dockerfile %q: %w", dockerfile, cause(err))
	}
	ignored, err := f.ignored(dockerfile)
	if err != nil {
		return err
	}
	return fs.WalkDir(f.root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("cannot be read: %w", err)
		}
		if p == "." {
			return nil
		}
		skip, err := ignored.MatchesOrParentMatches(p)
		switch {
		case err != nil:
			return fmt.Errorf("has a bad pattern in its %s: %w", ignoreFile, err)
		case skip && d.IsDir() && !ignored.Exclusions():
			return fs.SkipDir
		case skip:
			return nil // files in an ignored folder may be included by an exception
		}
		return f.add(p, d)
	})
}

func (f *folder) add(p string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return fmt.Errorf("cannot be read: %w", err)
	}
	if mode := info.Mode(); !mode.IsRegular() && !mode.IsDir() && mode.Type() != fs.ModeSymlink {
		return fmt.Errorf("contains %s, which is not a file, folder or link; name it in its %s",
			p, ignoreFile)
	}
	if len(f.files) == contextFiles {
		return fmt.Errorf("contains more than %d files; name those that the image does not need in its %s",
			contextFiles, ignoreFile)
	}
	f.files = append(f.files, file{p, info})
	return nil
}

// ignored reads the patterns of files that are not sent. The Dockerfile and the pattern file itself are always sent,
// because the builder reads both.
func (f *folder) ignored(dockerfile string) (*patternmatcher.PatternMatcher, error) {
	patterns, name, err := f.patterns(dockerfile)
	if err != nil {
		return nil, err
	}
	m, err := patternmatcher.New(patterns)
	if err != nil {
		return nil, fmt.Errorf("has a bad pattern in its %s: %w", name, err)
	}
	for _, needed := range []string{name, dockerfile} {
		if skip, err := m.MatchesOrParentMatches(needed); err == nil && skip {
			patterns = append(patterns, "!"+needed)
		}
	}
	return patternmatcher.New(patterns)
}

func (f *folder) patterns(dockerfile string) (patterns []string, name string, err error) {
	for _, name := range []string{dockerfile + ignoreFile, ignoreFile} {
		r, err := f.root.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, "", fmt.Errorf("has an unreadable %s: %w", name, cause(err))
		}
		defer r.Close()
		patterns, err := ignorefile.ReadAll(r)
		if err != nil {
			return nil, "", fmt.Errorf("has an unreadable %s: %w", name, err)
		}
		return patterns, name, nil
	}
	return nil, ignoreFile, nil
}

// bounded rejects a context that is larger than limit, and names its largest parts.
func (f *folder) bounded(limit int64) error {
	var total int64
	parts := map[string]int64{}
	for _, x := range f.files {
		if x.info.Mode().IsRegular() {
			top, _, _ := strings.Cut(x.path, "/")
			parts[top] += x.info.Size()
			total += x.info.Size()
		}
	}
	if total <= limit {
		return nil
	}
	return fmt.Errorf("has %s; the limit is %s; its largest parts: %s; "+
		"name files that the image does not need in its %s",
		units.BytesSize(float64(total)), units.BytesSize(float64(limit)), largest(parts), ignoreFile)
}

// largest names the three largest parts.
func largest(parts map[string]int64) string {
	names := make([]string, 0, len(parts))
	for name := range parts {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(parts[b], parts[a]), cmp.Compare(a, b))
	})
	for i, name := range names {
		names[i] = fmt.Sprintf("%s (%s)", name, units.BytesSize(float64(parts[name])))
	}
	return strings.Join(names[:min(3, len(names))], ", ")
}
