package broker

import "testing"

func TestRedact(t *testing.T) {
	for in, want := range map[string]string{
		"nats://127.0.0.1:4222":            "nats://127.0.0.1:4222",
		"nats://ada:secret@a:1,nats://b:2": "nats://xxxxx@a:1,nats://b:2",
		"nats://token@a:1, b:2":            "nats://xxxxx@a:1, b:2",
		"a:4222":                           "a:4222",
		"ada:secret@a:4222":                "xxxxx@a:4222",
		"tls://ada:se%zz@cret@a:1":         "tls://xxxxx@a:1",
		"nats://ada:a/b@a:1":               "nats://xxxxx@a:1",
		"nats://ada:a@b,c@a:1":             "nats://xxxxx@a:1",
	} {
		if got := Redact(in); got != want {
			t.Errorf("%q is shown as %q, want %q", in, got, want)
		}
	}
}

func TestAccessFromEnvironment(t *testing.T) {
	a := Access{Creds: "c", CA: "a", Cert: "t", Key: "k"}
	env := a.Environment()
	if got := AccessFromEnvironment(func(name string) string { return env[name] }); got != a {
		t.Errorf("got %+v, want %+v", got, a)
	}
	if err := a.Validate(); err != nil {
		t.Error(err)
	}
	if a.Key = ""; a.Validate() == nil {
		t.Error("a certificate without a key was accepted")
	}
}
