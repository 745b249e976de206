package daemon

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/evcs/evcs/internal/auth"
)

const keyBytes = 32

// key is a secret given in the settings, or one kept in the data directory,
// made on the first start and readable by its owner alone. Several nodes of
// one database must be given the same.
func key(given, dir, name string) ([]byte, error) {
	if given != "" {
		return []byte(given), nil
	}
	path := filepath.Join(dir, name)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeKey(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the key %s: %w", name, err)
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("the key %s can be read by others: its mode must be 0600", path)
	}
	return []byte(strings.TrimSpace(string(text))), nil
}

func makeKey(path string) ([]byte, error) {
	var secret [keyBytes]byte
	rand.Read(secret[:]) // never fails
	text := hex.EncodeToString(secret[:])
	return []byte(text), writeSecret(path, text+"\n")
}

// writeSecret writes a file that must not be there, for its owner alone.
func writeSecret(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write the key %s: %w", path, err)
	}
	return nil
}

const sealingFile = "sealing.key"

// sealingKeys are the keys of stored secrets, each 64 hexadecimal digits, the
// sealing one first: those of the settings, or one a line of the data
// directory's file, which is made when it is not there.
func sealingKeys(given, dir string) (keys [][keyBytes]byte, err error) {
	text, err := key(given, dir, sealingFile)
	if err != nil {
		return nil, err
	}
	for _, digits := range strings.FieldsFunc(string(text), func(r rune) bool { return r == ',' || r == '\n' || r == '\r' }) {
		raw, err := hex.DecodeString(strings.TrimSpace(digits))
		if err != nil || len(raw) != keyBytes {
			return nil, errors.New("a sealing key must be 64 hexadecimal digits")
		}
		keys = append(keys, [keyBytes]byte(raw))
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s is empty", filepath.Join(dir, sealingFile))
	}
	return keys, nil
}

// keyThere refuses a data directory that has lost its sealing key, so that no
// other one is made.
func keyThere(given, dir string) error {
	path := filepath.Join(dir, sealingFile)
	if _, err := os.Stat(path); given == "" && errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: the store holds sealed secrets, but %s is not there; give it back, or see \"evcsd keys abandon\"", auth.ErrKeyMissing, path)
	}
	return nil
}

// writeKeys replaces the data directory's file of sealing keys as a whole:
// whatever ends this, the old file or the new one is there.
func writeKeys(dir string, keys [][keyBytes]byte) error {
	var text strings.Builder
	for _, k := range keys {
		text.WriteString(hex.EncodeToString(k[:]) + "\n")
	}
	path := filepath.Join(dir, sealingFile)
	next := path + ".new"
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a call that was ended
		return fmt.Errorf("write the sealing keys: %w", err)
	}
	if err := writeSecret(next, text.String()); err != nil {
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return fmt.Errorf("write the sealing keys: %w", err)
	}
	folder, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("write the sealing keys: %w", err)
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// firstPassword is the administrator's password of the settings, "" to make one.
func firstPassword(given, file string) (string, error) {
	if file == "" {
		return given, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read admin.passwordFile: %w", err)
	}
	password := strings.TrimRight(string(text), "\r\n")
	if password == "" {
		return "", errors.New("admin.passwordFile is empty")
	}
	return password, nil
}
