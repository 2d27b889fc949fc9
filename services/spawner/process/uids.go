package process

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"strconv"
	"strings"
)

// DefaultUIDs is the default of Config.UIDs, above the users and subordinate users of common systems.
const DefaultUIDs = "200000-265535"

// NoUIDs is the text of a UIDs that gives executors no user of their own.
const NoUIDs = "none"

// UIDs is a range of user ids, which are also used as group ids. No user of the machine may be in it. The zero value
// is DefaultUIDs.
type UIDs struct {
	first, last uint32
	none        bool
}

// MarshalText returns the form that UnmarshalText reads.
func (u UIDs) MarshalText() ([]byte, error) {
	if u.none {
		return []byte(NoUIDs), nil
	}
	if u.last == 0 {
		return []byte(DefaultUIDs), nil
	}
	return fmt.Appendf(nil, "%d-%d", u.first, u.last), nil
}

// UnmarshalText reads FIRST-LAST, or NoUIDs.
func (u *UIDs) UnmarshalText(text []byte) error {
	if string(text) == NoUIDs {
		*u = UIDs{none: true}
		return nil
	}
	from, to, _ := strings.Cut(string(text), "-")
	first, err := strconv.ParseUint(from, 10, 32)
	last, err2 := strconv.ParseUint(to, 10, 32)
	if errors.Join(err, err2) != nil || first == 0 || first > last || last == math.MaxUint32 {
		return fmt.Errorf("%q is not a range of user ids: write it like %s, without 0, or %s", text, DefaultUIDs, NoUIDs)
	}
	*u = UIDs{first: uint32(first), last: uint32(last)}
	return nil
}

func (u UIDs) withDefault() UIDs {
	if !u.none && u.last == 0 {
		_ = u.UnmarshalText([]byte(DefaultUIDs))
	}
	return u
}

func (u UIDs) contains(id uint32) bool { return 0 < u.first && u.first <= id && id <= u.last }

// choose returns a user id that is not taken. It depends on the executor, so that an id is not used again soon: a
// program may have left files outside of its directory.
func (u UIDs) choose(executor string, taken map[uint32]bool) (uint32, error) {
	size := uint64(u.last-u.first) + 1
	h := fnv.New64a()
	_, _ = h.Write([]byte(executor))
	for i := range min(size, uint64(len(taken))+1) {
		if id := u.first + uint32((h.Sum64()+i)%size); !taken[id] {
			return id, nil
		}
	}
	return 0, fmt.Errorf("all %d user ids for executors are in use: give it a larger range (--executor-uids)", size)
}
