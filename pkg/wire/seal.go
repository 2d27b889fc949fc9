package wire

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
)

const (
	// SealedVersion is the first byte of every sealed message.
	SealedVersion = 2
	// KeySize is the size of the key of an edge, in bytes.
	KeySize = 32

	nonceSize  = 12
	prefixSize = 8
	tagSize    = 16
	// SealSize is the number of bytes that sealing adds to a message.
	SealSize = 1 + nonceSize + tagSize
)

// A Seal encrypts and authenticates the messages of one edge: frames, hints and credits. A sealed message opens only
// with the same key, and only on the subject for which it was sealed. It is not safe for concurrent use.
type Seal struct {
	aead  cipher.AEAD
	nonce [nonceSize]byte // a random prefix and a counter: no two messages of a key have the same one
	first bool
	place []byte // scratch
}

// NewSeal makes a seal with the key of an edge.
func NewSeal(key []byte) (*Seal, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return &Seal{aead: aead, first: true}, nil
}

// Append appends a message to dst, sealed for a subject.
func (s *Seal) Append(dst []byte, subject string, message []byte) []byte {
	s.next()
	s.place = append(s.place[:0], subject...)
	dst = append(append(dst, SealedVersion), s.nonce[:]...)
	return s.aead.Seal(dst, s.nonce[:], message, s.place)
}

// next makes the next nonce. A prefix is used for as many messages as the counter can count.
func (s *Seal) next() {
	counter := s.nonce[prefixSize:]
	n := binary.BigEndian.Uint32(counter) + 1
	if s.first || n == 0 {
		s.first = false
		_, _ = rand.Read(s.nonce[:prefixSize]) // never fails
	}
	binary.BigEndian.PutUint32(counter, n)
}

// Open opens what was received on a subject, in place. It reports false if that was not sealed with this key, or for
// another subject.
func (s *Seal) Open(subject string, sealed []byte) (message []byte, ok bool) {
	if len(sealed) < SealSize || sealed[0] != SealedVersion {
		return nil, false
	}
	s.place = append(s.place[:0], subject...)
	nonce, box := sealed[1:1+nonceSize], sealed[1+nonceSize:]
	message, err := s.aead.Open(box[:0], nonce, box, s.place)
	return message, err == nil
}
