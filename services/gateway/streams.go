package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/records"
	"github.com/dagyo/dagyo/pkg/stream"
)

// Headers of answers, and trailers behind a stream.
const (
	headerFlow    = "Dagyo-Flow"
	headerVerdict = "Dagyo-Verdict"
)

func (g *Gateway) registerStreams(api huma.API) {
	register(api, huma.Operation{
		OperationID: "feed-input", Method: http.MethodPut, Path: "/v1/flows/{id}/inputs/{name}", Tags: []string{"streams"},
		RequestBody: streamBody("application/octet-stream", "the records"),
		Summary:     "Feed an input of a flow",
		Description: "The body is the records; its end is the end of the input. It is read as fast as the flow takes them.",
	}, feedInput)
	huma.Register(api, huma.Operation{
		OperationID: "read-output", Method: http.MethodGet, Path: "/v1/flows/{id}/outputs/{name}", Tags: []string{"streams"},
		Summary: "Read an output of a flow",
		Description: "The body is the records as they come. If the flow fails behind the first one, the connection is closed in the middle " +
			"of the body; the trailer " + headerVerdict + " is the verdict otherwise.",
	}, readOutput)
	register(api, huma.Operation{
		OperationID: "run-flow", Method: http.MethodPost, Path: "/v1/run", Tags: []string{"streams"},
		RequestBody: streamBody("multipart/form-data", "the document in the part flow, and the inputs"),
		Summary:     "Run a flow in one call",
		Description: "The body is a form (multipart/form-data): the part `flow` is the document, and comes first; each other part is an input " +
			"with its name. The answer is the flow's output; of several outputs, a JSON line for each record: `{\"output\": …, \"record\": …}`. " +
			"If the client goes, the flow is cancelled.",
	}, runFlow)
}

// A Framed stream has records in a format.
type Framed struct {
	Format string `query:"format" enum:"lines,jsonl,base64,file" doc:"lines: a record a line; jsonl: a JSON value a line; base64: a record in Base64 a line; file: the bytes as they are, one record in an input. Default: lines for text and JSON, else file"`
}

// format returns the chosen format, or that for a typename.
func (f Framed) format(typename string) records.Format {
	switch {
	case f.Format != "":
		return records.Format(f.Format)
	case records.IsText(typename):
		return records.Lines
	}
	return records.Whole
}

// contentType is that of records.
func contentType(f records.Format, typename string) string {
	switch {
	case f == records.JSONLines, f == records.Lines && typename == records.TypeJSON:
		return "application/jsonl"
	case f == records.Whole && !records.IsText(typename):
		return "application/octet-stream"
	}
	return "text/plain; charset=utf-8"
}

// OneEnd names an input or output of a flow.
type OneEnd struct {
	OneFlow
	Name string `path:"name" doc:"the name of the input or output"`
	Framed
}

type inputStream struct {
	OneEnd
	body io.Reader
	out  *http.ResponseController
}

// Resolve implements huma.Resolver.
func (in *inputStream) Resolve(ctx huma.Context) []error {
	_, w := humago.Unwrap(ctx)
	in.body, in.out = ctx.BodyReader(), http.NewResponseController(w)
	return nil
}

// Fed is what was read of an input.
type Fed struct {
	Records int64 `json:"records" doc:"records that were sent"`
	Bytes   int64 `json:"bytes" doc:"their bytes"`
}

func feedInput(ctx context.Context, in *inputStream) (*struct{ Body Fed }, error) {
	f, err := open(ctx, clientOf(ctx), in.ID)
	if err != nil {
		return nil, answer(err)
	}
	defer f.close()
	a, err := f.end(ctx, "input", in.Name, inputs)
	if err != nil {
		return nil, answer(err)
	}
	n, err := f.feedFrom(ctx, a, in)
	if err != nil {
		return nil, answer(err)
	}
	_ = f.hold.Release()
	return &struct{ Body Fed }{Fed{n.Records, n.Bytes}}, nil
}

// errFed is the cause of the end of a context when a body was read to its end.
var errFed = errors.New("fed")

// feedFrom feeds an input from a body until its end, or until the flow has ended, whose verdict then says whether that is right.
func (f *running) feedFrom(ctx context.Context, a contract.Address, in *inputStream) (contract.Count, error) {
	writing, over := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	var verdict contract.Event
	watching.Go(func() {
		verdict, _ = f.verdict(writing)
		if errors.Is(context.Cause(writing), errFed) {
			return
		}
		over(nil)
		patience := restTime // the client may send what nobody needs, or nothing
		if ctx.Err() != nil {
			patience = 0
		}
		_ = in.out.SetReadDeadline(time.Now().Add(patience))
	})
	n, err := f.write(writing, a, records.NewReader(in.body, in.format(a.Type), a.Type))
	over(errFed)
	watching.Wait()
	switch {
	case errors.Is(err, stream.ErrTaken), errors.Is(err, client.ErrNotFed) && verdict.Type == contract.TypeFlowCompleted:
		return n, f.heldElsewhere("input", in.Name)
	case verdict.Type != "":
		return n, verdictError(verdict)
	case err == nil:
		return n, nil
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	}
	return n, fmt.Errorf("input %s of flow %s: %w", in.Name, f.id, err)
}

// write feeds an input. What the client has sent wrong is a usage error.
func (f *running) write(ctx context.Context, a contract.Address, r *records.Reader) (contract.Count, error) {
	var wrong error
	n, err := f.client.Write(ctx, a, func() ([]byte, error) {
		record, err := r.Next()
		if err != nil && !errors.Is(err, io.EOF) {
			wrong = err
		}
		return record, err
	})
	if wrong != nil {
		return n, usage(wrong)
	}
	return n, err
}

// A sink writes records to the answer of a request. Its status is sent with the first one.
type sink struct {
	mu      sync.Mutex
	w       http.ResponseWriter
	control *http.ResponseController
	typ     string
	begun   bool
}

func (s *sink) begin() {
	if !s.begun {
		s.begun = true
		s.w.Header().Set("Content-Type", s.typ)
		s.w.WriteHeader(http.StatusOK)
	}
}

func (s *sink) write(b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begin()
	_, err := s.w.Write(b)
	if err == nil {
		err = s.control.Flush()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	return nil
}

// rest waits until what reads the body has ended. Its client may send what nobody needs, or nothing.
func (s *sink) rest(read <-chan struct{}) {
	select {
	case <-read:
	case <-time.After(restTime):
		_ = s.control.SetReadDeadline(time.Now())
		<-read
	}
}

// restTime is how long the rest of a body is read when its flow has ended.
const restTime = time.Second

// drainLimit bounds how much of a body that nobody has read is read before the answer, so that the client sees it.
const drainLimit = 256 << 10

// duplex lets a handler write its answer while it reads the body. Over HTTP/1, the connection ends with it: net/http must not
// look for another request behind a body that was not read to its end.
func duplex(r *http.Request, w http.ResponseWriter) (done func()) {
	if r.ProtoMajor > 1 {
		return func() {}
	}
	w.Header().Set("Connection", "close")
	c := http.NewResponseController(w)
	_ = c.EnableFullDuplex() // never fails here
	return func() {
		_ = c.SetReadDeadline(time.Now().Add(restTime)) // the client may send nothing more
		_, _ = io.CopyN(io.Discard, r.Body, drainLimit)
	}
}

// streamed returns an answer that serve writes. An error before the first record is an ordinary answer, a later one closes
// the connection.
func streamed(serve func(context.Context, *http.Request, *sink) error) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		r, w := humago.Unwrap(hctx)
		s := &sink{w: w, control: http.NewResponseController(w)}
		w.Header().Set("Trailer", headerVerdict)
		done := func() {}
		if r.Method != http.MethodGet {
			done = duplex(r, w)
		}
		err := serve(hctx.Context(), r, s)
		if err != nil && hctx.Context().Err() == nil {
			done()
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		switch {
		case err == nil:
			s.begin()
			w.Header().Set(headerVerdict, string(contract.TypeFlowCompleted))
		case s.begun:
			panic(http.ErrAbortHandler) // the answer has no end
		default:
			e := explain(err)
			w.Header().Set("Content-Type", problemType)
			w.Header().Del("Trailer")
			hctx.SetStatus(e.Status)
			writeJSON(w, e)
		}
	}}
}

func readOutput(ctx context.Context, in *OneEnd) (*huma.StreamResponse, error) {
	c := clientOf(ctx)
	f, err := open(ctx, c, in.ID)
	if err != nil {
		return nil, answer(err)
	}
	a, err := f.end(ctx, "output", in.Name, outputs)
	if err != nil {
		f.close()
		return nil, answer(err)
	}
	return streamed(func(ctx context.Context, _ *http.Request, s *sink) error {
		from := map[string]contract.Address{in.Name: a}
		return f.leave(ctx, f.read(ctx, from, in.writer(from, s)))
	}), nil
}

// read passes the records of outputs to take until they end, and waits for the verdict.
func (f *running) read(ctx context.Context, from map[string]contract.Address, take func(name string, record []byte) error) error {
	live, over := context.WithCancel(ctx)
	var verdict contract.Event
	var failed error
	var judging sync.WaitGroup
	defer judging.Wait()
	defer over()
	judging.Go(func() {
		verdict, failed = f.verdict(live)
		over() // what is stored is read
	})
	var mu sync.Mutex
	read, errs := make(map[string]contract.OutputCount), make([]error, 0, len(from))
	var reading sync.WaitGroup
	for name, a := range from {
		reading.Go(func() {
			n, err := f.client.Read(ctx, live, a, func(record []byte) error { return take(name, record) })
			mu.Lock()
			defer mu.Unlock()
			read[name] = n
			if err != nil && !errors.Is(err, stream.ErrCut) { // then the verdict says why
				errs = append(errs, fmt.Errorf("output %s of flow %s: %w", name, f.id, err))
				over()
			}
		})
	}
	reading.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	judging.Wait()
	if failed != nil {
		return failed
	}
	if len(from) == len(f.ends.Outputs) {
		_ = f.client.Release(f.id, read)
	}
	return verdictError(verdict)
}

func runFlow(ctx context.Context, in *Framed) (*huma.StreamResponse, error) {
	c := clientOf(ctx)
	return streamed(func(ctx context.Context, r *http.Request, s *sink) error {
		parts, err := r.MultipartReader()
		if err != nil {
			return usage(fmt.Errorf("the body is not a form: %w; send it with curl -F flow=@flow.json -F input=@file", err))
		}
		_ = s.control.SetReadDeadline(time.Now().Add(documentTime)) // net/http supports it
		doc, err := firstPart(parts)
		if err != nil {
			return err
		}
		_ = s.control.SetReadDeadline(time.Time{})
		f := &running{client: c, id: newID()}
		return f.run(ctx, doc, inputForm{parts, r.Body, *in}, s)
	}), nil
}

// firstPart returns the flow document.
func firstPart(parts *multipart.Reader) ([]byte, error) {
	p, err := parts.NextPart()
	if err != nil || p.FormName() != "flow" {
		return nil, usage(errors.New("the first part of the form must be the document, with the name flow"))
	}
	doc, err := io.ReadAll(io.LimitReader(p, documentLimit+1))
	if err == nil && len(doc) > documentLimit {
		err = fail(http.StatusRequestEntityTooLarge, fmt.Sprintf("the document is larger than %d bytes", documentLimit))
	}
	return doc, err
}

// An inputForm is the rest of a form, whose parts are inputs.
type inputForm struct {
	parts *multipart.Reader
	body  io.Reader
	Framed
}

// run submits the flow, feeds its inputs from a form, and writes its outputs to a sink.
func (f *running) run(ctx context.Context, doc []byte, in inputForm, s *sink) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if err := f.submit(ctx, doc); err != nil {
		return f.leave(ctx, err)
	}
	s.w.Header().Set(headerFlow, f.id)
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		err := f.feedForm(ctx, in)
		if err == nil {
			_, err = io.Copy(io.Discard, io.LimitReader(in.body, drainLimit)) // net/http notices a client that goes behind its end
		}
		if err != nil {
			stop(err) // if nothing has stopped it before
		}
	}()
	err := f.leave(ctx, f.read(ctx, f.ends.Outputs, in.writer(f.ends.Outputs, s)))
	stop(nil)
	s.rest(fed)
	return err
}

// writer returns what writes the records of outputs to a sink: those of several as lines with the output's name.
func (in Framed) writer(outputs map[string]contract.Address, s *sink) func(name string, record []byte) error {
	if len(outputs) != 1 {
		s.typ = "application/jsonl"
		return func(name string, record []byte) error {
			return s.write(recordLine(name, outputs[name].Type, record))
		}
	}
	typename := slices.Collect(maps.Values(outputs))[0].Type
	format := in.format(typename)
	s.typ = contentType(format, typename)
	var buffer []byte
	return func(_ string, record []byte) error {
		buffer = format.Append(buffer[:0], typename, record)
		return s.write(buffer)
	}
}

// spoolLimit bounds the inputs of a form with more than one, in bytes: they are needed at the same time, and come one after
// the other.
const spoolLimit = 1 << 30

// feedForm feeds the inputs from the parts of a form.
func (f *running) feedForm(ctx context.Context, in inputForm) error {
	missing := make(map[string]bool)
	for name := range f.ends.Inputs {
		missing[name] = true
	}
	single := len(f.ends.Inputs) == 1
	var spooled []*os.File
	var feeding sync.WaitGroup
	errs := make(chan error, len(f.ends.Inputs))
	defer func() {
		feeding.Wait()
		for _, file := range spooled {
			_ = file.Close()
		}
	}()
	left := int64(spoolLimit)
	for {
		p, err := in.parts.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return usage(err)
		}
		name := p.FormName()
		a, ok := f.ends.Inputs[name]
		if !ok || !missing[name] {
			return usage(fmt.Errorf("the form has a part %q, which is no input of the flow, or was there before: its inputs are %v", name, sorted(f.ends.Inputs)))
		}
		delete(missing, name)
		if single {
			if _, err := f.write(ctx, a, records.NewReader(p, in.format(a.Type), a.Type)); err != nil {
				return err
			}
			continue
		}
		file, err := spool(p, &left)
		if err != nil {
			return err
		}
		spooled = append(spooled, file)
		feeding.Go(func() {
			if _, err := f.write(ctx, a, records.NewReader(file, in.format(a.Type), a.Type)); err != nil {
				errs <- fmt.Errorf("input %s: %w", name, err)
			}
		})
	}
	if len(missing) > 0 {
		return usage(fmt.Errorf("the form lacks the inputs %v: send each as a part", sorted(missing)))
	}
	feeding.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}

// spool stores a part in a file that has no name any more.
func spool(p io.Reader, left *int64) (*os.File, error) {
	file, err := os.CreateTemp("", "dagyo-input-")
	if err != nil {
		return nil, err
	}
	err = os.Remove(file.Name())
	var n int64
	if err == nil {
		n, err = io.Copy(file, io.LimitReader(p, *left+1))
	}
	if *left -= n; err == nil && *left < 0 {
		err = fail(http.StatusRequestEntityTooLarge, fmt.Sprintf("the inputs have more than %d bytes together: feed them with PUT /v1/flows/ID/inputs/NAME", spoolLimit))
	}
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}
