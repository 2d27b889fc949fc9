package service

import (
	"hash/maphash"
	"sync"
)

// keyLock locks by key. Different keys may share a lock, which costs time and nothing else.
type keyLock struct {
	once  sync.Once
	seed  maphash.Seed
	locks [256]sync.Mutex
}

// lock locks the key and returns the function that unlocks it.
func (k *keyLock) lock(key string) (unlock func()) {
	k.once.Do(func() { k.seed = maphash.MakeSeed() })
	m := &k.locks[maphash.String(k.seed, key)%uint64(len(k.locks))]
	m.Lock()
	return m.Unlock
}
