package provision

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/services/dagyo/keyring"
)

// Only the owner of the folder can read what is in it.
func TestFolderIsPrivate(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "validator"), 0o755); err != nil { // as the mount of a volume
		t.Fatal(err)
	}
	if _, err := Folder(dir, Options{}); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Credentials stay as they are for as long as the server accepts them, so that what uses them is not disturbed.
func TestFolderKeepsWhatIsValid(t *testing.T) {
	dir := t.TempDir()
	if _, err := Folder(dir, Options{}); err != nil {
		t.Fatal(err)
	}
	planner := filepath.Join(dir, "planner", Credentials)
	before, err := os.ReadFile(planner)
	if err != nil {
		t.Fatal(err)
	}
	// Credentials of another role, of another installation, and none.
	for _, place := range []struct{ file, content string }{
		{"validator/" + Credentials, string(before)}, {"spawner/" + Credentials, foreign(t)}, {"operator/" + Credentials, "nonsense"},
	} {
		if err := os.WriteFile(filepath.Join(dir, place.file), []byte(place.content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(1100 * time.Millisecond) // signatures have a date in seconds
	done, err := Folder(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{server, accounts, "planner/" + Tenants, "spawner/" + executors} {
		if !slices.Contains(done.Kept, path) {
			t.Errorf("%s was written again", path)
		}
	}
	for _, path := range []string{"validator/" + Credentials, "spawner/" + Credentials, "operator/" + Credentials} {
		if !slices.Contains(done.Wrote, path) {
			t.Errorf("%s was kept", path)
		}
	}
	if after, err := os.ReadFile(planner); err != nil || string(after) != string(before) {
		t.Errorf("the credentials of the planner have changed, %v", err)
	}
}

// foreign returns the spawner's credentials of another installation.
func foreign(t *testing.T) string {
	t.Helper()
	k, err := keyring.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c, err := k.Issue(keyring.DefaultTenant, access.Credential{Role: access.Spawner, Name: string(access.Spawner)})
	if err != nil {
		t.Fatal(err)
	}
	return string(c)
}

// The spawner signs for executors, and has the key of no other role.
func TestSpawnerHasOneKey(t *testing.T) {
	dir := t.TempDir()
	if _, err := Folder(dir, Options{}); err != nil {
		t.Fatal(err)
	}
	issuer, err := keyring.ReadIssuer(filepath.Join(dir, "spawner", "executors.json"))
	if err != nil {
		t.Fatal(err)
	}
	content, err := issuer.Issue(keyring.DefaultTenant, access.Credential{Role: access.Operator, Name: "greet-1", Mailbox: "greet-0123"})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := keyring.Open(keyring.In(dir))
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := keys.Accepts(content, keyring.DefaultTenant, access.Executor, "greet-1"); !ok || err != nil {
		t.Errorf("the server does not accept what the spawner signs as an executor's: %v", err)
	}
	if ok, _ := keys.Accepts(content, keyring.DefaultTenant, access.Operator, "greet-1"); ok {
		t.Error("the spawner signs for operators")
	}
	if _, err := issuer.Issue("elsewhere", access.Credential{Name: "greet-1"}); err == nil {
		t.Error("it signs for a tenant that does not exist")
	}
}

// What the Secrets keep of a folder is what a new folder gets.
func TestSecretsRoundTrip(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	if _, err := Folder(dir, Options{}); err != nil {
		t.Fatal(err)
	}
	for _, reader := range append(secretReaders(), keyring.Dir) {
		files, err := read(filepath.Join(dir, reader))
		if err == nil {
			err = restore(filepath.Join(other, reader), files)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	done, err := Folder(other, Options{})
	if err != nil || !slices.Equal(done.Wrote, []string{accounts, server}) {
		t.Errorf("wrote %v, %v", done.Wrote, err)
	}
	if err := restore(t.TempDir(), map[string][]byte{"../outside": nil}); err == nil {
		t.Error("a Secret can write outside of its folder")
	}
}

// The certificate of the server is for its names, and is replaced when they change, or in time.
func TestCertificate(t *testing.T) {
	dir := t.TempDir()
	wrote := func(names ...string) bool {
		t.Helper()
		done, err := Folder(dir, Options{TLS: TLS{Names: names, Dir: "/etc/nats/auth"}})
		if err != nil {
			t.Fatal(err)
		}
		return slices.Contains(done.Wrote, certPath)
	}
	if !wrote("nats", "127.0.0.1") || wrote("nats", "127.0.0.1") {
		t.Error("the certificate is not made once")
	}
	if !wrote("nats", "localhost", "127.0.0.1") || wrote("nats", "localhost", "127.0.0.1") {
		t.Error("the certificate is not made once for other names")
	}
	ca := verifier(t, dir)
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		t.Fatalf("not a certificate: %s", ca)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, certPath), filepath.Join(dir, keyPath))
	if err != nil {
		t.Fatal(err)
	}
	for name, valid := range map[string]bool{"nats": true, "localhost": true, "127.0.0.1": true, "elsewhere": false} {
		_, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots})
		if (err == nil) != valid {
			t.Errorf("for %s: %v", name, err)
		}
	}
	_, err = pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: time.Now().AddDate(serverYears, 0, 1)})
	if err == nil {
		t.Error("the certificate is valid for ever")
	}
	reader, err := os.ReadFile(filepath.Join(dir, "planner", caFile))
	if err != nil || !bytes.Equal(reader, ca) {
		t.Errorf("the planner trusts another authority, %v", err)
	}
	conf, err := os.ReadFile(filepath.Join(dir, encrypted))
	if err != nil || !strings.Contains(string(conf), `cert_file: "/etc/nats/auth/tls.crt"`) {
		t.Errorf("the server has no certificate, %v:\n%s", err, conf)
	}
	if wrote(); !slices.Equal(verifier(t, dir), nil) {
		t.Error("without TLS, users still get the authority")
	}
	if !wrote("nats") || !bytes.Equal(verifier(t, dir), ca) {
		t.Error("the authority is another one than before")
	}
}

func verifier(t *testing.T, dir string) []byte {
	t.Helper()
	path := AuthorityFile(dir)
	if path == "" {
		return nil
	}
	ca, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}
