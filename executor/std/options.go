package std

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/dagyo/dagyo/executor"
	"github.com/dagyo/dagyo/pkg/document"
)

// optionsInput is the setting "options": one JSON object, whose members are optional.
func optionsInput() executor.In[json.RawMessage] {
	return executor.Input("options", executor.JSON[json.RawMessage]())
}

// optional is a pointer to a struct with the options of a program. check may set those that are missing.
type optional interface{ check() error }

// options reads the setting "options" into a struct, and checks it. A member that the struct does not have is an error.
// usage is an example, for errors.
func options(
	ctx context.Context, job *executor.Job, in executor.In[json.RawMessage], usage string, into optional,
) error {
	text, err := single(ctx, job, "options", in)
	if err != nil {
		return err
	}
	if err = members(text, into); err == nil {
		err = into.check()
	}
	if err != nil {
		return fmt.Errorf("input options: %w; write, for example, %s", err, usage)
	}
	return nil
}

// members reads a JSON object strictly.
func members(text []byte, into any) error {
	if text = bytes.TrimSpace(text); text[0] != '{' {
		return errors.New("it is not an object")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong) && wrong.Field == "": // of a member that reads itself, such as a duration
		reason, _, _ := strings.Cut(err.Error(), ": json: ")
		return errors.New(reason)
	case wrong != nil:
		return fmt.Errorf("%s is %s; it must be %s", wrong.Field, article(wrong.Value), kindOf(wrong.Type))
	case err != nil && strings.HasPrefix(err.Error(), unknownField):
		name := strings.Trim(strings.TrimPrefix(err.Error(), unknownField), `"`)
		return fmt.Errorf("there is no option %s", document.Quote(name))
	}
	return err
}

// unknownField begins the errors of encoding/json about members that a struct does not have.
const unknownField = "json: unknown field "

// article writes a kind of JSON value, as encoding/json names it, with its article.
func article(kind string) string {
	if strings.HasPrefix(kind, "number ") {
		return "the " + kind
	}
	switch kind {
	case "array", "object":
		return "an " + kind
	case "bool":
		return "a boolean"
	}
	return "a " + kind
}

// kindOf describes the JSON values that a type can hold.
func kindOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Float64:
		return "a number"
	case reflect.Uint64:
		return "a non-negative integer"
	}
	return "an integer"
}
