package provision

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/moby/sys/atomicwriter"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/services/dagyo/keyring"
)

// The names of files.
const (
	Credentials = "nats.creds"
	executors   = "executors.json"
	server      = "nats/auth.conf"
)

// persons are the roles of persons for whom credentials are made; each has its role as its name.
var persons = []access.Role{access.Publisher, access.Operator}

// A File is one of the files to store.
type File struct {
	// Path is relative, with the reader's folder first.
	Path    string
	Content []byte
	// holder is whom it is for, "" for others than credentials.
	holder access.Role
}

// Files returns all files that are made of the keys, that for the server first.
func Files(k *keyring.Keyring) ([]File, error) {
	conf, err := k.Configuration()
	if err != nil {
		return nil, err
	}
	out := []File{{Path: server, Content: conf}}
	for _, r := range slices.Concat(access.Services(), persons) {
		content, err := k.Issue(keyring.DefaultTenant, access.Credential{Role: r, Name: string(r)})
		if err != nil {
			return nil, err
		}
		out = append(out, File{Path: string(r) + "/" + Credentials, Content: content, holder: r})
	}
	issuer, err := k.Issuer(access.Executor)
	if err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(issuer, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(out, File{Path: string(access.Spawner) + "/" + executors, Content: append(text, '\n')}), nil
}

// keeps reports whether a stored file can stay as it is. Credentials are different each time, so it is the signature
// that counts.
func (f File) keeps(k *keyring.Keyring, stored []byte) (bool, error) {
	if f.holder == "" {
		return string(stored) == string(f.Content), nil
	}
	return k.Accepts(stored, keyring.DefaultTenant, f.holder, string(f.holder))
}

// A Report says what was done, by path.
type Report struct {
	Wrote, Kept []string
}

// Folder stores the files in a folder, together with the keys. Only their owner can read them.
func Folder(dir string, t TLS) (r Report, err error) {
	existed := keyring.Exists(keyring.In(dir))
	k, err := keyring.Open(keyring.In(dir))
	if err != nil {
		return r, err
	}
	r.note(keyring.Dir, existed)
	files, err := Files(k)
	if err == nil && len(t.Names) > 0 {
		var more []File
		more, err = certificates(dir, t.Names)
		files = append(files, more...)
		files[0].Content = append(files[0].Content, t.configuration()...)
	} else if err == nil {
		err = dropCertificate(dir)
	}
	if err != nil {
		return r, err
	}
	for _, f := range files {
		path := filepath.Join(dir, filepath.FromSlash(f.Path))
		stored, err := os.ReadFile(path)
		kept := err == nil
		if kept {
			kept, err = f.keeps(k, stored)
		} else if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		if err == nil {
			err = private(filepath.Dir(path))
		}
		if err == nil && !kept {
			err = atomicwriter.WriteFile(path, f.Content, 0o600)
		}
		if err != nil {
			return r, fmt.Errorf("write %s: %w", path, err)
		}
		r.note(f.Path, kept)
	}
	return r, nil
}

func (r *Report) note(path string, kept bool) {
	if kept {
		r.Kept = append(r.Kept, path)
	} else {
		r.Wrote = append(r.Wrote, path)
	}
}

// private makes a folder that only its owner can read.
func private(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.Chmod(dir, 0o700)
}

// sorted returns the keys of a map in order.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
