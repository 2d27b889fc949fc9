package process

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// A view is how the files of an executor differ from those of the machine.
//
// A covered directory is replaced by one that has only what is shown, and that everyone may pass. Paths are absolute
// and have no symbolic links, except that a shown path may itself be a link.
type view struct {
	Covers []string
	Shows  []string
}

// A viewer makes a view. Private paths are covered. If executors have a user of their own, so are directories that
// only their owner may pass, such as /root, as far as a program is found in them.
type viewer struct {
	private []string // without symbolic links
	foreign bool     // executors have a user of their own
	uids    UIDs     // these users
	covers  map[string]bool
	shows   map[string]bool
}

// newViewer covers the private paths that exist.
func newViewer(private []string, foreign bool, uids UIDs) *viewer {
	v := &viewer{foreign: foreign, uids: uids, covers: map[string]bool{}, shows: map[string]bool{}}
	for _, path := range private {
		if path == "" {
			continue
		}
		if real, err := filepath.EvalSymlinks(path); err == nil {
			v.private = append(v.private, real)
			v.covers[real] = true
		}
	}
	return v
}

func (v *viewer) view() view {
	return view{Covers: slices.Sorted(maps.Keys(v.covers)), Shows: slices.Sorted(maps.Keys(v.shows))}
}

// errPrivate means that a path leads to something that no executor may see.
var errPrivate = errors.New("it is in a directory that executors do not see")

// maxLinks is how many symbolic links a path may have, as in Linux.
const maxLinks = 40

// reach makes a path visible, with all symbolic links on the way, and returns the file that it leads to. Of a directory
// that is closed to the executor's user, it shows the entry on the way, with everything in it: a program needs the files
// beside it. If exact is true, it shows only the path itself.
func (v *viewer) reach(path string, exact bool) (string, error) {
	current, rest := "/", split(path)
	for links := 0; len(rest) > 0; {
		next := filepath.Join(current, rest[0])
		rest = rest[1:]
		if v.isPrivate(next) {
			return "", errPrivate
		}
		info, err := os.Lstat(next)
		if err != nil {
			return "", err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			current = next
			continue
		}
		if links++; links > maxLinks {
			return "", errors.New("too many symbolic links")
		}
		target, err := os.Readlink(next)
		if err != nil {
			return "", err
		}
		v.show(next, exact)
		if filepath.IsAbs(target) {
			current = "/"
		}
		rest = append(split(target), rest...)
	}
	v.show(current, exact)
	if v.closed(current) && !v.changeable(current) {
		v.covers[current] = true
	}
	return current, nil
}

// split returns the elements of a path. It keeps "..", which leads out of the target of a link.
func split(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == filepath.Separator })
}

func (v *viewer) isPrivate(path string) bool { return slices.Contains(v.private, path) }

// show covers the closed directories above a path, and shows in the innermost one the path, or the entry that leads
// to it. It does nothing if an executor could replace something on the way while the view is prepared.
func (v *viewer) show(path string, exact bool) {
	var covers []string
	shown := ""
	for at := 0; at < len(path)-1; {
		dir := path[:max(at, 1)]
		next := len(path)
		if n := strings.IndexByte(path[at+1:], filepath.Separator); n >= 0 {
			next = at + 1 + n
		}
		if v.changeable(dir) {
			return
		}
		if v.closed(dir) {
			covers, shown = append(covers, dir), path[:next]
		}
		at = next
	}
	for _, dir := range covers {
		v.covers[dir] = true
	}
	if shown != "" && exact {
		shown = path
	}
	if shown != "" && !v.closed(shown) {
		v.shows[shown] = true
	}
}

// closed reports whether the executor's user may not pass a directory.
func (v *viewer) closed(path string) bool {
	if !v.foreign {
		return false
	}
	info, err := os.Lstat(path)
	return err == nil && info.IsDir() && info.Mode()&0o001 == 0
}

// changeable reports whether an executor may rename or replace what is in a directory.
func (v *viewer) changeable(path string) bool {
	if !v.foreign {
		return false
	}
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	if err != nil {
		return true
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	all := info.Mode()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0
	return !ok || all || v.uids.contains(stat.Uid) || v.uids.contains(stat.Gid)
}

// own shows the executor's own directory, although it is in a private one.
func (v *viewer) own(path string) {
	v.show(path, true)
	v.shows[path] = true
}

// mentioned shows everything that a text names by its absolute path, such as a command's argument, a search path, or a
// script for a shell.
func (v *viewer) mentioned(text string) {
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool {
		return strings.ContainsRune(" \t\r\n:;,=\"'`()<>|&$", r)
	}) {
		if filepath.IsAbs(word) {
			_, _ = v.reach(word, false) // the program reports what it does not find
		}
	}
}
