package provision

import (
	"bytes"
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
	Tenants     = "tenants.json"
	SignIn      = "sign-in.json"
	executors   = "executors.json"
	server      = "nats/auth.conf"
	accounts    = "nats/" + keyring.PreloadFile
	encrypted   = "nats/tls.conf"
)

// platform is the folder of what copies progdefs to tenants.
const platform = "platform"

// persons are the roles of persons for whom credentials are made; each has its role as its name.
var persons = []access.Role{access.Publisher, access.Operator}

// A File is one of the files to store.
type File struct {
	// Path is relative, with the reader's folder first.
	Path    string
	Content []byte
	// kept reports whether a stored file can stay as it is; nil if it can only if it is equal. Signatures are different
	// each time.
	kept func(stored []byte) (bool, error)
}

// Files returns all files that are made of the keys, that for the server first.
func Files(k *keyring.Keyring) ([]File, error) {
	preload, err := k.Preload()
	if err != nil {
		return nil, err
	}
	out := []File{{Path: accounts, Content: preload, kept: func(stored []byte) (bool, error) {
		return keyring.SamePreload(stored, preload), nil
	}}}
	for _, r := range slices.Concat(access.Services(), persons) {
		content, err := k.Issue(keyring.DefaultTenant, access.Credential{Role: r, Name: string(r)})
		if err != nil {
			return nil, err
		}
		out = append(out, File{Path: string(r) + "/" + Credentials, Content: content, kept: func(stored []byte) (bool, error) {
			return k.Accepts(stored, keyring.DefaultTenant, r, string(r))
		}})
	}
	for _, r := range append(access.Services(), access.Publisher) {
		i, err := k.Server(r)
		if err != nil {
			return nil, err
		}
		folder := string(r)
		if r == access.Publisher {
			folder = platform // not beside the credentials of a person: it signs those of every tenant
		}
		out = append(out, File{Path: folder + "/" + Tenants, Content: encode(i), kept: func(stored []byte) (bool, error) {
			i, ok := keyring.ParseIssuer(stored)
			if !ok || i.Role != r {
				return false, nil
			}
			return k.Serves(i)
		}})
	}
	i, err := k.Issuer(access.Executor)
	if err != nil {
		return nil, err
	}
	signIn, err := k.SignInKeys()
	if err != nil {
		return nil, err
	}
	return append(out, File{Path: string(access.Spawner) + "/" + executors, Content: encode(i)}, File{Path: gateway + "/" + SignIn, Content: signIn}), nil
}

// WriteSignIn writes the keys with which a gateway signs persons in to a file that only its owner can read.
func WriteSignIn(path string, k *keyring.Keyring) error {
	keys, err := k.SignInKeys()
	if err == nil {
		err = atomicwriter.WriteFile(path, keys, 0o600)
	}
	if err != nil {
		return fmt.Errorf("write the keys of sign-in: %w", err)
	}
	return nil
}

func encode(i *keyring.Issuer) []byte {
	text, _ := json.MarshalIndent(i, "", "  ") // never fails
	return append(text, '\n')
}

// A Report says what was done, by path.
type Report struct {
	Wrote, Kept []string
}

// Options are how the NATS server of an installation is run.
type Options struct {
	TLS TLS
	// Accounts is the folder in which the server keeps accounts that it is told of while it runs. "" if it is to read
	// them at its start only.
	Accounts string
	// Replicas is that of the services, 0 to keep what was said before: at first 1.
	Replicas int
}

// Folder stores the files in a folder, together with the keys. Only their owner can read them.
func Folder(dir string, o Options) (r Report, err error) {
	existed := keyring.Exists(keyring.In(dir))
	k, err := keyring.Open(keyring.In(dir))
	if err != nil {
		return r, err
	}
	r.note(keyring.Dir, existed)
	if o.Replicas != 0 {
		if err := k.SetReplicas(o.Replicas); err != nil {
			return r, err
		}
	}
	conf, err := k.Configuration(o.Accounts)
	if err != nil {
		return r, err
	}
	var files []File
	if len(o.TLS.Names) > 0 {
		if files, err = certificates(dir, o.TLS.Names); err != nil {
			return r, err
		}
		files = append(files, File{Path: encrypted, Content: o.TLS.configuration()})
		conf = fmt.Appendf(conf, "include %s\n", filepath.Base(encrypted))
	} else if err := dropCertificate(dir); err != nil {
		return r, err
	}
	if err := r.refresh(dir, k); err != nil {
		return r, err
	}
	return r, r.write(dir, append(files, File{Path: server, Content: conf, kept: func(stored []byte) (bool, error) {
		return keyring.SameConfiguration(stored, conf), nil
	}})) // last: it includes the others
}

// Made reports whether a folder was made by Folder.
func Made(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, filepath.FromSlash(server)))
	return err == nil
}

// Refresh brings what is signed with the keys up to date.
func Refresh(dir string, k *keyring.Keyring) (r Report, err error) { return r, r.refresh(dir, k) }

func (r *Report) refresh(dir string, k *keyring.Keyring) error {
	files, err := Files(k)
	if err != nil {
		return err
	}
	return r.write(dir, files)
}

// write stores files that are not there in a form that can stay.
func (r *Report) write(dir string, files []File) error {
	for _, f := range files {
		path := filepath.Join(dir, filepath.FromSlash(f.Path))
		stored, err := os.ReadFile(path)
		kept := err == nil
		if kept && f.kept != nil {
			kept, err = f.kept(stored)
		} else if kept {
			kept = bytes.Equal(stored, f.Content)
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
			return fmt.Errorf("write %s: %w", path, err)
		}
		r.note(f.Path, kept)
	}
	return nil
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
