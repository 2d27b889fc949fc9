// Package contexts keeps named connections to NATS, each an address with credentials, in the files of natscli: a
// context of Dagyo is one of the nats command, and the other way round. Which one is selected each command keeps for
// itself.
package contexts

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/moby/sys/atomicwriter"

	"github.com/dagyo/dagyo/pkg/broker"
)

// A Context is a connection: the part of natscli's file that Dagyo uses.
type Context struct {
	Name string
	// URL is one or several NATS URLs, separated by commas. It may contain a user and a password.
	URL         string
	Description string
	Access      broker.Access
	// Inbox is the prefix of the subjects on which answers arrive, for the nats command.
	Inbox string
}

// ErrUnknown means that there is no context with a name.
var ErrUnknown = errors.New("unknown context")

// A Store is the contexts of a user.
type Store struct {
	config string
}

// In returns the store in a configuration directory, such as ~/.config.
func In(config string) Store { return Store{config} }

// Home returns the user's store. env looks up an environment variable.
func Home(env func(string) string) Store {
	if dir := env("XDG_CONFIG_HOME"); dir != "" {
		return In(dir)
	}
	return In(filepath.Join(env("HOME"), ".config"))
}

func (s Store) file(name string) string {
	return filepath.Join(s.config, "nats", "context", name+".json")
}

// A Kept is a kind of file that is kept with a context: the ending of its name.
type Kept string

// What is kept.
const (
	Credentials Kept = ".creds"
	Authorities Kept = ".ca.crt"
)

func (s Store) kept(name string, k Kept) string {
	return filepath.Join(s.config, "dagyo", "creds", name+string(k))
}

func (s Store) selection() string { return filepath.Join(s.config, "dagyo", "context.txt") }

var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

func checkName(name string) error {
	if !validName.MatchString(name) {
		return fmt.Errorf("%q is not the name of a context: use letters, digits, '.', '_' and '-'", name)
	}
	return nil
}

// NameOf makes the name of a context of any text.
func NameOf(text string) string {
	name := strings.Map(func(r rune) rune {
		if r < 128 && validName.MatchString("a"+string(r)) {
			return r
		}
		return '-'
	}, text)
	return name[:min(len(name), 100)]
}

// The keys of natscli's files that Dagyo reads and writes.
const (
	keyDescription = "description"
	keyURL         = "url"
	keyCreds       = "creds"
	keyCA          = "ca"
	keyCert        = "cert"
	keyKey         = "key"
	keyInbox       = "inbox_prefix"
	keyUser        = "user"
	keyPassword    = "password"
	keyToken       = "token"
)

// unsupported are keys that change who a connection is or where it goes, and that Dagyo does not know how to use.
var unsupported = []string{"nkey", "nsc", "user_jwt", "user_seed", "socks_proxy", "windows_cert_store"}

// Load returns a context, or ErrUnknown.
func (s Store) Load(name string) (Context, error) {
	if err := checkName(name); err != nil {
		return Context{}, err
	}
	fields, err := s.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return Context{}, fmt.Errorf("%w %q: %s does not exist; `dagyo context ls` lists those that do", ErrUnknown, name, s.file(name))
	}
	if err != nil {
		return Context{}, fmt.Errorf("read context %q: %w", name, err)
	}
	for _, key := range unsupported {
		if text(fields[key]) != "" {
			return Context{}, fmt.Errorf("context %q: %s has %q, which Dagyo does not support: use a credentials file (creds)", name, s.file(name), key)
		}
	}
	c := Context{
		Name: name, URL: text(fields[keyURL]), Description: text(fields[keyDescription]), Inbox: text(fields[keyInbox]),
		Access: broker.Access{
			Creds: text(fields[keyCreds]), CA: text(fields[keyCA]), Cert: text(fields[keyCert]), Key: text(fields[keyKey]),
		},
	}
	c.URL, err = withUser(c.URL, text(fields[keyUser]), text(fields[keyPassword]), text(fields[keyToken]))
	if err != nil {
		return Context{}, fmt.Errorf("context %q: %w", name, err)
	}
	return c, nil
}

func (s Store) read(name string) (fields map[string]any, err error) {
	raw, err := os.ReadFile(s.file(name))
	if err == nil {
		err = json.Unmarshal(raw, &fields)
	}
	return fields, err
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

// Save stores a context. What another command keeps in its file stays as it is.
func (s Store) Save(c Context) error {
	if err := checkName(c.Name); err != nil {
		return err
	}
	fields, err := s.read(c.Name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("context %q exists and cannot be read: %w", c.Name, err)
	}
	if fields == nil {
		fields = make(map[string]any)
	}
	for _, key := range append([]string{keyUser, keyPassword, keyToken}, unsupported...) {
		delete(fields, key) // of an earlier context with this name
	}
	for key, value := range map[string]string{
		keyDescription: c.Description, keyURL: c.URL, keyCreds: c.Access.Creds, keyCA: c.Access.CA,
		keyCert: c.Access.Cert, keyKey: c.Access.Key, keyInbox: c.Inbox,
	} {
		fields[key] = value
	}
	out, err := json.MarshalIndent(fields, "", "  ")
	if err != nil {
		return err
	}
	return write(s.file(c.Name), append(out, '\n'))
}

// Keep stores a file for a context, and returns its path.
func (s Store) Keep(name string, k Kept, content []byte) (path string, err error) {
	if err := checkName(name); err != nil {
		return "", err
	}
	return s.kept(name, k), write(s.kept(name, k), content)
}

// Remove deletes a context, and the files that are kept for it. If it was selected, none is.
func (s Store) Remove(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	err := os.Remove(s.file(name))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w %q", ErrUnknown, name)
	}
	for _, k := range []Kept{Credentials, Authorities} {
		if kept := os.Remove(s.kept(name, k)); err == nil && !errors.Is(kept, fs.ErrNotExist) {
			err = kept
		}
	}
	if selected, _ := s.Selected(); err == nil && selected == name {
		err = os.Remove(s.selection())
	}
	return err
}

// Names returns the names of all contexts, sorted.
func (s Store) Names() ([]string, error) {
	files, err := os.ReadDir(filepath.Join(s.config, "nats", "context"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var out []string
	for _, f := range files {
		if name, ok := strings.CutSuffix(f.Name(), ".json"); ok && checkName(name) == nil {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out, err
}

// Select makes a context the one that is used if no other is named.
func (s Store) Select(name string) error {
	if _, err := s.Load(name); err != nil {
		return err
	}
	return write(s.selection(), []byte(name+"\n"))
}

// Selected returns the name of the selected context, or "".
func (s Store) Selected() (string, error) {
	raw, err := os.ReadFile(s.selection())
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(raw)), err
}

// For returns the context with an address, if exactly one has it.
func (s Store) For(url string) (c Context, ok bool) {
	names, err := s.Names()
	if err != nil {
		return c, false
	}
	found := 0
	for _, name := range names {
		if x, err := s.Load(name); err == nil && x.URL == url {
			c, found = x, found+1
		}
	}
	return c, found == 1
}

// write stores a file that only its owner can read: an address may contain a password.
func write(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return atomicwriter.WriteFile(path, content, 0o600)
}
