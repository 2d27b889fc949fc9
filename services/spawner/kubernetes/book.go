package kubernetes

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/dagyo/dagyo/services/spawner/backend"
)

// The keys of a book's ConfigMap.
const (
	keyProgdef   = "progdef"
	keyRevision  = "revision"
	keyTemplate  = "template"
	keyImage     = "image"
	keyExecutors = "executors"
)

const (
	// detailRoom is the part of a ConfigMap's 1 MiB that may be used before exits lose their detail, and
	// bookRoom the part before no more executors are added, both in bytes.
	detailRoom = 384 << 10
	bookRoom   = 768 << 10
)

// errFull means that a book has no room for another executor.
var errFull = errors.New("the record of this revision is full;" +
	" wait until some executors have exited, or raise the progdef's jobsPerExecutor")

// A book is the record of one revision.
type book struct {
	Progdef, Revision string
	Template          template
	// Image is the digest of the image that the first executor ran, if the template has only a tag.
	Image string
	// Entries are the executors that were not forgotten, oldest first.
	Entries []entry
}

// An entry is one executor.
type entry struct {
	Executor string `json:"executor"`
	// Pod is the name of the pod assigned to it.
	Pod  string        `json:"pod,omitempty"`
	Exit *backend.Exit `json:"exit,omitempty"`
}

func (b book) instance(executor string) backend.Instance {
	return backend.Instance{Executor: executor, Progdef: b.Progdef, Revision: b.Revision}
}

// find returns the index of an executor's entry, or -1.
func (b book) find(executor string) int {
	return slices.IndexFunc(b.Entries, func(e entry) bool { return e.Executor == executor })
}

// clone returns a book whose entries can be changed.
func (b book) clone() book {
	b.Entries = slices.Clone(b.Entries)
	return b
}

// encode returns the data of the book's ConfigMap.
func (b book) encode() (map[string]string, error) {
	text, err := json.Marshal(b.Entries)
	if err == nil && len(text) > detailRoom {
		text, err = json.Marshal(b.withoutDetails().Entries)
	}
	if err != nil {
		return nil, err
	}
	return map[string]string{
		keyProgdef: b.Progdef, keyRevision: b.Revision,
		keyTemplate: string(b.Template), keyImage: b.Image, keyExecutors: string(text),
	}, nil
}

// withoutDetails removes the last output of programs.
func (b book) withoutDetails() book {
	b = b.clone()
	for i, e := range b.Entries {
		if e.Exit != nil && e.Exit.Detail != "" {
			exit := *e.Exit
			exit.Detail = ""
			b.Entries[i].Exit = &exit
		}
	}
	return b
}

// full reports whether the book has no room for more executors.
func full(data map[string]string) bool {
	return len(data[keyTemplate])+len(data[keyExecutors]) > bookRoom
}

// decodeBook reads a book's ConfigMap.
func decodeBook(m *corev1.ConfigMap) (book, error) {
	b := book{
		Progdef: m.Data[keyProgdef], Revision: m.Data[keyRevision],
		Template: template(m.Data[keyTemplate]), Image: m.Data[keyImage],
	}
	if err := json.Unmarshal([]byte(m.Data[keyExecutors]), &b.Entries); err != nil {
		return book{}, fmt.Errorf("cannot read the list of executors in the ConfigMap %s: %w",
			m.Name, err)
	}
	return b, nil
}
