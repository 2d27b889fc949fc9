package policy

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
)

const (
	// anyOne stands for one element of a path, anyRest at the end of a pattern for one or more.
	anyOne  = "*"
	anyRest = "**"
)

// matchesName reports whether a name matches one of the patterns, in which * stands for any characters.
func matchesName(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return glob(p, name) })
}

// glob takes time in proportion to the product of the lengths.
func glob(pattern, name string) bool {
	head, rest, starred := strings.Cut(pattern, "*")
	if !starred {
		return pattern == name
	}
	name, ok := strings.CutPrefix(name, head)
	if !ok {
		return false
	}
	parts := strings.Split(rest, "*")
	last := parts[len(parts)-1]
	for _, part := range parts[:len(parts)-1] {
		_, after, found := strings.Cut(name, part)
		if !found {
			return false
		}
		name = after
	}
	return strings.HasSuffix(name, last)
}

// matchesPath reports whether a path matches one of the patterns by whole elements.
func matchesPath(patterns []string, of string) bool {
	elements := strings.Split(of, "/")
	return slices.ContainsFunc(patterns, func(p string) bool { return matchElements(strings.Split(p, "/"), elements) })
}

func matchElements(pattern, elements []string) bool {
	for i, p := range pattern {
		if p == anyRest {
			return len(elements) > i
		}
		if i == len(elements) || p != anyOne && p != elements[i] {
			return false
		}
	}
	return len(pattern) == len(elements)
}

// badStars explains what is wrong with the stars of a pattern, or returns "".
func badStars(elements []string) string {
	for i, e := range elements {
		switch {
		case e == anyRest && i < len(elements)-1:
			return "has ** before its end"
		case strings.Contains(e, "*") && e != anyOne && e != anyRest:
			return "has * within an element: it stands for a whole element"
		}
	}
	return ""
}

// badCommandPattern explains what is wrong with a pattern of programs, or returns "".
func badCommandPattern(pattern string) string {
	elements := strings.Split(pattern, "/")
	switch {
	case path.Clean(pattern) != pattern || pattern == "." || elements[0] == "..":
		return "is not a path in its shortest form"
	case len(elements) > 1 && elements[0] != "":
		return "is a relative path: write an absolute one, or only the name of a program in PATH"
	}
	return badStars(elements)
}

// badImagePattern explains what is wrong with a pattern of repositories, or returns "".
func badImagePattern(pattern string) string {
	elements := strings.Split(pattern, "/")
	first := elements[0]
	if first == anyRest && len(elements) == 1 {
		return ""
	}
	if why := badStars(elements); why != "" {
		return why
	}
	if first != anyOne && (!isRegistry(first) || !grammar().registry.MatchString(first)) {
		return "does not begin with a registry such as docker.io"
	}
	if strings.ToLower(first) != first || first == "index.docker.io" {
		return "names its registry in an unusual form: write it in lower case, and docker.io for Docker Hub"
	}
	if len(elements) < 2 {
		return "has no repository: end it with /** for all repositories of the registry"
	}
	for _, e := range elements[1:] {
		if e != anyOne && e != anyRest && !grammar().component.MatchString(e) {
			return "is not a repository: write it without tag and digest, in lower case"
		}
	}
	return ""
}

// An image is an image reference.
type image struct {
	// repository includes the registry, such as docker.io/library/python.
	repository string
	digest     string
}

// parseImage reads an image reference as container runtimes do.
func parseImage(text string) (i image, ok bool) {
	name, digest, pinned := strings.Cut(text, "@")
	if pinned && !grammar().digest.MatchString(digest) {
		return i, false
	}
	i.digest = digest
	if slash, colon := strings.LastIndexByte(name, '/'), strings.LastIndexByte(name, ':'); colon > slash {
		if !grammar().tag.MatchString(name[colon+1:]) {
			return i, false
		}
		name = name[:colon]
	}
	registry, repository, found := strings.Cut(name, "/")
	if !found || !isRegistry(registry) {
		registry, repository = "docker.io", name
	}
	registry = strings.ToLower(registry)
	if registry == "index.docker.io" {
		registry = "docker.io"
	}
	if registry == "docker.io" && !strings.Contains(repository, "/") {
		repository = "library/" + repository
	}
	if !grammar().registry.MatchString(registry) {
		return i, false
	}
	for component := range strings.SplitSeq(repository, "/") {
		if !grammar().component.MatchString(component) {
			return i, false
		}
	}
	i.repository = registry + "/" + repository
	return i, true
}

// isRegistry reports whether the first element of a reference is a registry and not a part of a repository.
func isRegistry(first string) bool {
	return first == "localhost" || strings.ContainsAny(first, ".:") || strings.ToLower(first) != first
}

// grammar is the grammar of image references.
var grammar = sync.OnceValue(func() (g struct{ registry, component, tag, digest *regexp.Regexp }) {
	g.registry = regexp.MustCompile(`^([a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[a-fA-F0-9:]+\])(:[0-9]+)?$`)
	g.component = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*$`)
	g.tag = regexp.MustCompile(`^\w[\w.-]{0,127}$`)
	g.digest = regexp.MustCompile(`^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$`)
	return g
})
