package cli

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The words that a shell is offered, and the number of cobra's directive behind them.
func TestFlagValuesAreCompleted(t *testing.T) {
	flow := filepath.Join(t.TempDir(), "flow.yaml")
	text := "inputs: {names: a.b, more: a.c}\noutputs: {loud: a.d}\n"
	if err := os.WriteFile(flow, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ line, want string }{
		{"ls --output ", "text json :4"},
		{"run --progress ", "auto status lines none :4"},
		{"validate --log-level ", "trace debug info warn error off :4"},
		{"graph --format ", "mermaid dot :4"},
		{"ls --since ", ":4"},
		{"ls --creds ", ":0"},
		{"ls --limit ", ":4"},
		{"spawner --backend ", "process docker kubernetes :4"},
		{"up --edge-storage ", "memory file :4"},
		{"up --data ", ":16"},
		{"test --junit ", "xml :8"},
		{"test ", ":16"},
		{"run ", "json yaml yml :8"},
		{"progdef apply ", "json yaml yml :8"},
		{"progdef apply --standard ", ":4"},
		{"run " + flow + " --input ", "more= names= :6"},
		{"run " + flow + " --input names=", ":0"},
		{"run " + flow + " --input-format ", "more= names= :6"},
		{"run " + flow + " --input-format names=", "names=lines names=jsonl names=base64 names=file :4"},
		{"run " + flow + " --output-format loud=l", "loud=lines loud=jsonl loud=base64 loud=file :4"},
		{"attach f --output-format loud=", "loud=lines loud=jsonl loud=base64 loud=file :4"},
		{"run " + flow + " --output ", "text json loud= :6"},
	}
	for _, tt := range tests {
		var out strings.Builder
		Run(context.Background(), Invocation{
			Args: append([]string{"__completeNoDesc"}, strings.Split(tt.line, " ")...),
			In:   strings.NewReader(""), Out: &out, Err: &strings.Builder{}, Env: func(string) string { return "" },
		})
		if got := strings.Join(strings.Fields(out.String()), " "); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.line, got, tt.want)
		}
	}
}
