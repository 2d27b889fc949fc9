package docker

import (
	"path"
	"strings"

	"github.com/moby/moby/api/types/image"
)

// defaultPath is the PATH of a container whose image sets none.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// searchPath is the PATH of an order's container.
func searchPath(o order, i image.InspectResponse) string {
	if p, ok := o.env["PATH"]; ok {
		return p
	}
	for _, v := range i.Config.Env {
		if p, ok := strings.CutPrefix(v, "PATH="); ok {
			return p
		}
	}
	return defaultPath
}

// candidates are the files that a word of a command may refer to in a container: a path, relative to the
// working directory, or else the name in each folder of the search path.
func candidates(word, workingDir, search string) []string {
	if workingDir == "" {
		workingDir = "/"
	}
	if strings.Contains(word, "/") {
		return []string{absolute(workingDir, word)}
	}
	var out []string
	for dir := range strings.SplitSeq(search, ":") {
		out = append(out, absolute(workingDir, path.Join(dir, word)))
	}
	return out
}

func absolute(dir, p string) string {
	if path.IsAbs(p) {
		return path.Clean(p)
	}
	return path.Join(dir, p)
}
