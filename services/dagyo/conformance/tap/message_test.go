package tap

import (
	"bufio"
	"bytes"
	"strings"
	"testing"
)

func parsed(t *testing.T, text string) (Message, error) {
	t.Helper()
	return read(bufio.NewReader(strings.NewReader(text)))
}

func TestReadTellsMessagesApart(t *testing.T) {
	for text, want := range map[string]Message{
		"PUB a 2\r\nhi\r\n":      {Op: Pub, Subject: "a", Data: []byte("hi")},
		"PUB a r 0\r\n\r\n":      {Op: Pub, Subject: "a", Reply: "r"},
		"MSG a 7 r 2\r\nhi\r\n":  {Op: Msg, Subject: "a", SID: "7", Reply: "r", Data: []byte("hi")},
		"SUB a.* q 9\r\n":        {Op: Sub, Subject: "a.*", SID: "9"},
		"UNSUB 9 1\r\n":          {Op: Unsub, SID: "9"},
		"PING\r\n":               {},
		"-ERR 'it is so'\r\n":    {Op: Err, Data: []byte("it is so")},
		"CONNECT {\"a\": 1}\r\n": {Op: Connect, Data: []byte(`{"a": 1}`)},
		"HMSG a 7 12 14\r\nNATS/1.0\r\n\r\nhi\r\n": {
			Op: Msg, Subject: "a", SID: "7", Data: []byte("hi"),
		},
	} {
		got, err := parsed(t, text)
		if err != nil || got.Op != want.Op || got.Subject != want.Subject || got.SID != want.SID ||
			got.Reply != want.Reply || !bytes.Equal(got.Data, want.Data) {
			t.Errorf("%q: got %+v, %v", text, got, err)
		}
		if again := string(got.encode()); again != text {
			t.Errorf("%q was written as %q", text, again)
		}
	}
}

func TestReadRefusesWhatIsNoProtocol(t *testing.T) {
	for _, text := range []string{
		"PUB a\r\n", "PUB a b c 1\r\n", "HPUB a 9 1\r\nx\r\n", "PUB a -1\r\n", "MSG a 1\r\n", "SUB a\r\n",
		"PUB a 99999999999999999999\r\n", "PUB a 5\r\nhi\r\n", "PUB a 4000000000\r\n",
	} {
		if m, err := parsed(t, text); err == nil {
			t.Errorf("%q gave %+v", text, m)
		}
	}
}

func TestStatusIsAHeader(t *testing.T) {
	h := parseHeader([]byte("NATS/1.0 404 No Messages\r\n\r\n"))
	if h.Get("Status") != "404" || h.Get("Description") != "No Messages" {
		t.Errorf("got %v", h)
	}
}

func TestMatches(t *testing.T) {
	for pair, want := range map[string]bool{
		"a.b a.b": true, "a.* a.b": true, "a.> a.b.c": true, "a.> a": false, "a a.b": false, "a.b a": false,
		"*.b a.c": false,
	} {
		pattern, subject, _ := strings.Cut(pair, " ")
		if Matches(pattern, subject) != want {
			t.Errorf("%s: want %v", pair, want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("HPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"))
	f.Add([]byte("MSG a 1 5\r\nhello\r\nPING\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := read(bufio.NewReader(bytes.NewReader(b)))
		if err != nil || m.Op != Pub && m.Op != Msg {
			return
		}
		again, err := read(bufio.NewReader(bytes.NewReader(m.encode())))
		if err != nil || again.Op != m.Op || again.Subject != m.Subject || !bytes.Equal(again.Data, m.Data) {
			t.Errorf("%+v became %+v, %v", m, again, err)
		}
	})
}
