package payment

import (
	"crypto/sha256"
	"sync"
)

// maxOpened bounds how many accounts are held open.
const maxOpened = 1024

// Opened keeps what a channel makes of merchant accounts (keys that were read,
// clients) while the accounts stay as they are. The zero Opened is ready; it is
// safe for concurrent use.
type Opened[T any] struct {
	mu       sync.Mutex
	accounts map[MerchantID]opened[T] // guarded by mu
}

type opened[T any] struct {
	version int64
	digest  [sha256.Size]byte
	value   T
}

// Get is what build makes of the account, or made of it before.
func (o *Opened[T]) Get(m Merchant, build func(Merchant) (T, error)) (T, error) {
	digest := sha256.Sum256(append([]byte(m.Mode+"\n"+m.Config+"\n"), m.Secrets...))
	o.mu.Lock()
	kept, ok := o.accounts[m.ID]
	o.mu.Unlock()
	if ok && kept.version == m.Version && kept.digest == digest {
		return kept.value, nil
	}
	made, err := build(m)
	if err != nil {
		return made, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.accounts == nil || len(o.accounts) >= maxOpened {
		o.accounts = make(map[MerchantID]opened[T])
	}
	o.accounts[m.ID] = opened[T]{m.Version, digest, made}
	return made, nil
}
