package docker

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestConfigValidate(t *testing.T) {
	if err := (Config{}).Validate(); err != nil {
		t.Errorf("the empty Config: %v", err)
	}
	err := Config{
		Place: "a.b", Pull: "sometimes", KillDelay: -1, PullTimeout: -1, LogSize: -1, LogFiles: -1,
		TmpSize: -1, PidsLimit: -1, StartTimeout: -1,
		Mounts: []string{"creds:/ok", "creds", ":/x", "creds:relative", "a:/b:rw"},
	}.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`place "a.b"`, `"sometimes"`, "KillDelay", "PullTimeout", "LogSize", "LogFiles", "TmpSize", "PidsLimit",
		"StartTimeout", `mount "creds"`, `mount ":/x"`, `mount "creds:relative"`, `mount "a:/b:rw"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not mentioned in: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "/ok") {
		t.Errorf("a valid mount was rejected: %v", err)
	}
}

func TestConfigDefaults(t *testing.T) {
	c := defaults(t, Config{EnvDir: "env", LogFiles: 7})
	if c.Place != DefaultPlace || c.Pull != PullMissing || c.LogFiles != 7 || c.LogSize != DefaultLogSize ||
		c.KillDelay != DefaultKillDelay || c.Logger == nil || !filepath.IsAbs(c.EnvDir) {
		t.Errorf("defaults are %+v", c)
	}
}
