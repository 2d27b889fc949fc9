package records

import (
	"fmt"
	"io/fs"
	"os"
)

// A Use is a file that a command reads or writes.
type Use struct {
	// Who is the name for messages, such as "input names (names.txt)".
	Who string
	// Info identifies the file, whatever its paths and links are; nil never conflicts.
	Info   fs.FileInfo
	Writes bool
}

// isPipe reports whether what is in the file can be read only once.
func (u Use) isPipe() bool { return u.Info != nil && u.Info.Mode()&fs.ModeNamedPipe != 0 }

// destroys reports whether a use takes from another one what is in their file. Terminals and devices such
// as /dev/null may be shared.
func (u Use) destroys(other Use) bool {
	if u.Info == nil || other.Info == nil {
		return false
	}
	return (u.isPipe() || u.Writes && u.Info.Mode().IsRegular()) && os.SameFile(u.Info, other.Info)
}

// Conflict reports a file that is written and also used for anything else, or a pipe that is used twice.
func Conflict(uses []Use) error {
	for n, u := range uses {
		if !u.Writes && !u.isPipe() {
			continue // its conflicts are those of another use
		}
		for m, other := range uses {
			if m == n || !u.destroys(other) {
				continue
			}
			if other.Writes || !u.Writes { // then u is the earlier one
				u, other = other, u
			}
			if u.isPipe() {
				return fmt.Errorf("%s and %s are the same pipe: name another file", other.Who, u.Who)
			}
			return fmt.Errorf("%s and %s are the same file, which would be destroyed: write to another file",
				other.Who, u.Who)
		}
	}
	return nil
}

// StreamUse is the use of a standard stream. One that is not a file never conflicts.
func StreamUse(stream any, who string, writes bool) Use {
	u := Use{Who: who, Writes: writes}
	if f, ok := stream.(*os.File); ok {
		u.Info, _ = f.Stat() // nil if it is closed
	}
	return u
}

// isSameStream reports whether a path is another name of a stream that can be read once only.
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
