package image

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// stream returns the context as a tar file, which is written while it is read. The caller must call stop when it has
// finished reading; stop waits for the writer, and returns the reason why the context could not be sent completely.
func (f *folder) stream() (r io.Reader, stop func() error) {
	pr, pw := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := f.write(pw)
		_ = pw.CloseWithError(err)
		written <- err
	}()
	return pr, func() error {
		_ = pr.Close()
		err := <-written
		if errors.Is(err, io.ErrClosedPipe) { // the builder needed no more
			return nil
		}
		return err
	}
}

func (f *folder) write(w io.Writer) error {
	t := tar.NewWriter(w)
	for _, x := range f.files {
		if err := f.writeFile(t, x); err != nil {
			return fmt.Errorf("send %s of the build context: %w", x.path, err)
		}
	}
	return t.Close()
}

// writeFile writes one entry. All entries belong to root, whoever owns the files.
func (f *folder) writeFile(t *tar.Writer, x file) error {
	var target string
	var err error
	if x.info.Mode().Type() == fs.ModeSymlink {
		if target, err = f.root.Readlink(x.path); err != nil {
			return err
		}
	}
	h, err := tar.FileInfoHeader(x.info, target)
	if err != nil {
		return err
	}
	h.Name = x.path
	if x.info.IsDir() {
		h.Name += "/"
	}
	h.Uid, h.Gid, h.Uname, h.Gname = 0, 0, "", ""
	if err := t.WriteHeader(h); err != nil || !x.info.Mode().IsRegular() {
		return err
	}
	return f.copy(t, x)
}

func (f *folder) copy(t *tar.Writer, x file) error {
	in, err := f.root.Open(x.path)
	if err != nil {
		return err
	}
	defer in.Close()
	n, err := io.Copy(t, in)
	if errors.Is(err, tar.ErrWriteTooLong) || err == nil && n < x.info.Size() {
		return errors.New("it changed while it was sent")
	}
	return err
}
