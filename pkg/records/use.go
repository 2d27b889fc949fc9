package records

import (
	"fmt"
	"io/fs"
	"os"
)

// A Use is a file that a command reads or writes.
type Use struct {
	// Who is the name in messages, such as "input names (names.txt)".
	Who string
	// Info identifies the file independently of paths and links; nil never conflicts.
	Info   fs.FileInfo
	Writes bool
}

// isPipe reports whether the content of the file can be read only once.
func (u Use) isPipe() bool { return u.Info != nil && u.Info.Mode()&fs.ModeNamedPipe != 0 }

// destroys reports whether a use destroys the content of the file for another use. Terminals and devices
// such as /dev/null may be shared.
func (u Use) destroys(other Use) bool {
	if u.Info == nil || other.Info == nil {
		return false
	}
	return (u.isPipe() || u.Writes && u.Info.Mode().IsRegular()) && os.SameFile(u.Info, other.Info)
}

// Conflict reports a file that is written and also used otherwise, or a pipe that is used twice.
func Conflict(uses []Use) error {
	for n, u := range uses {
		if !u.Writes && !u.isPipe() {
			continue // another use covers its conflicts
		}
		for m, other := range uses {
			if m == n || !u.destroys(other) {
				continue
			}
			if other.Writes || !u.Writes { // then u is the earlier one
				u, other = other, u
			}
			if u.isPipe() {
				return fmt.Errorf("%s and %s are the same pipe: use another file", other.Who, u.Who)
			}
			return fmt.Errorf("%s and %s are the same file, which would be destroyed: write to another file",
				other.Who, u.Who)
		}
	}
	return nil
}

// StreamUse returns the use of a standard stream. A stream that is not a file never conflicts.
func StreamUse(stream any, who string, writes bool) Use {
	u := Use{Who: who, Writes: writes}
	if f, ok := stream.(*os.File); ok {
		u.Info, _ = f.Stat() // nil if it is closed
	}
	return u
}

// isSameStream reports whether a path is another name of a stream that can be read only once.
func isSameStream(stream any, path string) bool {
	u := StreamUse(stream, "", false)
	if u.Info == nil || u.Info.Mode().IsRegular() || isNull(u.Info) {
		return false
	}
	info, err := os.Stat(path)
	return err == nil && os.SameFile(u.Info, info)
}

func isNull(info fs.FileInfo) bool {
	null, err := os.Stat(os.DevNull)
	return err == nil && os.SameFile(null, info)
}
