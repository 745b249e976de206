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
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	_, err = f.WriteString(text + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, fmt.Errorf("write the key %s: %w", path, err)
	}
	return []byte(text), nil
}

// sealingKey is the key that seals stored secrets: 64 hexadecimal digits.
func sealingKey(given, dir string) (sealed [keyBytes]byte, err error) {
	text, err := key(given, dir, "sealing.key")
	if err != nil {
		return sealed, err
	}
	raw, err := hex.DecodeString(string(text))
	if err != nil || len(raw) != keyBytes {
		return sealed, errors.New("the sealing key must be 64 hexadecimal digits")
	}
	copy(sealed[:], raw)
	return sealed, nil
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
