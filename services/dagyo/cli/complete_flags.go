package cli

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dagyo/dagyo/pkg/records"
	"github.com/dagyo/dagyo/services/dagyo/docfile"
)

// flagWords are the values of flags with few values, by flag name.
var flagWords = map[string][]string{
	"output":       {outputText, outputJSON},
	"log-level":    {"trace", "debug", "info", "warn", "error", "off"},
	"progress":     {progressAuto, progressStatus, progressLines, progressNone},
	"format":       {graphMermaid, graphDOT},
	"backend":      {"process", "docker", "kubernetes"},
	"pull":         {"missing", "never", "always"},
	"edge-storage": {"memory", "file"},
	"replicas":     {"1", "3", "5"},
}

// flagFolders are the flags whose value is a folder.
var flagFolders = []string{"data", "env-dir", "executors", "progdefs", "sdk"}

// flagFiles are the flags whose value is a file.
var flagFiles = []string{"creds", "tls-ca", "tls-cert", "tls-key", "kubeconfig", "credentials", "progdef"}

// documentCommands are the commands whose arguments are documents.
var documentCommands = []string{"run", "submit", "validate", "graph", "apply", "build"}

// completeValues adds completions to all arguments and flags of a command and its subcommands that have none.
func completeValues(cmd *cobra.Command) {
	for _, below := range cmd.Commands() {
		completeValues(below)
	}
	if cmd.ValidArgsFunction == nil && slices.Contains(documentCommands, cmd.Name()) {
		cmd.ValidArgsFunction = extensions("json", "yaml", "yml")
	}
	if cmd.Name() == "test" || cmd.Name() == "dev" {
		cmd.ValidArgsFunction = folders
	}
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if _, done := cmd.GetFlagCompletionFunc(f.Name); done {
			return
		}
		if complete := completionOf(f); complete != nil {
			_ = cmd.RegisterFlagCompletionFunc(f.Name, complete) // the flag exists and has none
		}
	})
}

// completionOf returns the completion of a flag's values, nil for files.
func completionOf(f *pflag.Flag) cobra.CompletionFunc {
	words := flagWords[f.Name]
	switch {
	case f.Name == "input":
		return completeEnds("inputs", nil)
	case f.Name == "output" && f.DefValue == "": // --output of run also takes outputs
		return completeEnds("outputs", nil, words...)
	case f.Name == "input-format":
		return completeEnds("inputs", records.Formats)
	case f.Name == "output-format":
		return completeEnds("outputs", records.Formats)
	case words != nil:
		return cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
	case slices.Contains(flagFolders, f.Name):
		return folders
	case f.Name == "junit":
		return extensions("xml")
	case slices.Contains(flagFiles, f.Name):
		return nil
	default:
		return cobra.NoFileCompletions
	}
}

func folders(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

func extensions(all ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(all, cobra.ShellCompDirectiveFilterFileExt)
}

// completeEnds completes NAME=FILE, or NAME=FORMAT if there are formats, with the names of the flow's inputs or outputs,
// which it reads from a field of the flow document. Other words can be completed, too.
func completeEnds(field string, formats []records.Format, others ...string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		out := slices.Clone(others)
		name, _, named := strings.Cut(word, "=")
		switch {
		case named && formats == nil:
			return nil, cobra.ShellCompDirectiveDefault
		case named:
			for _, f := range formats {
				out = append(out, name+"="+string(f))
			}
			return out, cobra.ShellCompDirectiveNoFileComp
		case len(args) > 0:
			for _, name := range endsOf(args[0], field) {
				out = append(out, name+"=")
			}
		}
		return out, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
	}
}

// endsOf returns the names of a flow's inputs or outputs, or none if the file cannot be read.
func endsOf(path, field string) []string {
	d, err := docfile.ReadFile(path)
	if err != nil {
		return nil
	}
	var doc map[string]json.RawMessage
	var ends map[string]any
	if json.Unmarshal(d.JSON, &doc) != nil || json.Unmarshal(doc[field], &ends) != nil {
		return nil
	}
	return slices.Sorted(maps.Keys(ends))
}
