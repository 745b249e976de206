package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"github.com/rogpeppe/go-internal/lockedfile"

	"github.com/evcs/evcs/internal/api"
)

// defaultServer is where evcsd listens when nothing was said.
const defaultServer = "http://localhost:8080"

// defaultContext is the name of the context used before any was added.
const defaultContext = "default"

// profiles is the store of contexts and sign-ins: two files in one directory,
// both 0600, written whole and renamed into place.
type profiles struct{ dir string }

// contexts is the file contexts.json.
type contexts struct {
	Current  string           `json:"current"`
	Contexts map[string]place `json:"contexts"`
}

// place is where and as whom to work.
type place struct {
	Server string `json:"server"`
	Tenant int64  `json:"tenant,omitempty"`
}

// signIn is what a login left behind. Server is the one that made the tokens.
type signIn struct {
	Server     string `json:"server"`
	Identifier string `json:"identifier"`
	Token      string `json:"token"`
	Refresh    string `json:"refreshToken"`
}

// target is the context in force after flags and environment.
type target struct {
	Name   string
	Server string
	Tenant int64
}

// errLoose says that a file with secrets can be read by others.
var errLoose = errors.New("other users can read it; make it private: chmod 600")

func (e *env) profiles() profiles {
	base := e.Getenv("XDG_CONFIG_HOME")
	if base == "" {
		if base = e.Getenv("APPDATA"); base == "" {
			base = filepath.Join(e.Getenv("HOME"), ".config")
		}
	}
	return profiles{filepath.Join(base, "evcsctl")}
}

// target resolves the context: flag, EVCS_CONTEXT, the current one; then
// --server, EVCS_SERVER and --tenant, EVCS_TENANT on top.
func (e *env) target() (target, error) {
	all, err := e.profiles().contexts()
	if err != nil {
		return target{}, err
	}
	name := firstOf(e.globals.context, e.Getenv("EVCS_CONTEXT"))
	chosen, known := all.Contexts[firstOf(name, all.Current)]
	if name != "" && !known {
		return target{}, usage("there is no context %q; see evcsctl context list", name)
	}
	t := target{
		Name:   firstOf(name, all.Current, defaultContext),
		Server: firstOf(e.globals.server, e.Getenv("EVCS_SERVER"), chosen.Server, defaultServer),
		Tenant: chosen.Tenant,
	}
	if text := e.Getenv("EVCS_TENANT"); text != "" {
		if t.Tenant, err = strconv.ParseInt(text, 10, 64); err != nil || t.Tenant <= 0 {
			return target{}, usage("EVCS_TENANT %q is no tenant id", text)
		}
	}
	if e.globals.tenant != 0 {
		t.Tenant = e.globals.tenant
	}
	if t.Tenant < 0 {
		return target{}, usage("--tenant %d is no tenant id", t.Tenant)
	}
	return t, nil
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// keepTokens stores new tokens of a context. The lock of the profiles is held.
func (e *env) keepTokens(t target) func(api.LoginResult) error {
	return func(result api.LoginResult) error {
		return e.profiles().setTokens(t.Name, &signIn{
			Server: t.Server, Identifier: result.UserInfo.Identifier, Token: result.Token, Refresh: result.RefreshToken,
		})
	}
}

func (p profiles) contexts() (contexts, error) {
	all := contexts{Contexts: map[string]place{}}
	err := p.read("contexts.json", false, &all)
	if all.Contexts == nil {
		all.Contexts = map[string]place{}
	}
	return all, err
}

func (p profiles) setContexts(all contexts) error { return p.write("contexts.json", all) }

func (p profiles) tokens(name string) (signIn, error) {
	all := map[string]signIn{}
	err := p.read("tokens.json", true, &all)
	return all[name], err
}

// lock waits until no other process writes sign-ins or renews one, and returns
// what lets the next one in. A process that dies lets go of it.
func (p profiles) lock(ctx context.Context) (unlock func(), err error) {
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return nil, fmt.Errorf("lock the profile: %w", err)
	}
	type result struct {
		unlock func()
		err    error
	}
	locked := make(chan result, 1)
	go func() { // the wait itself cannot be broken off
		unlock, err := lockedfile.MutexAt(filepath.Join(p.dir, "tokens.lock")).Lock()
		locked <- result{unlock, err}
	}()
	select {
	case r := <-locked:
		if r.err != nil {
			return nil, fmt.Errorf("lock the profile: %w", r.err)
		}
		return r.unlock, nil
	case <-ctx.Done():
		go func() {
			if r := <-locked; r.err == nil {
				r.unlock()
			}
		}()
		return nil, fmt.Errorf("wait for another evcsctl that renews the sign-in: %w", ctx.Err())
	}
}

// changeTokens is setTokens under the lock.
func (p profiles) changeTokens(ctx context.Context, name string, s *signIn) error {
	unlock, err := p.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return p.setTokens(name, s)
}

// setTokens stores the sign-in of a context, or forgets it when nil. The lock is
// held.
func (p profiles) setTokens(name string, s *signIn) error {
	all := map[string]signIn{}
	if err := p.read("tokens.json", true, &all); err != nil {
		return err
	}
	if s == nil {
		delete(all, name)
	} else {
		all[name] = *s
	}
	return p.write("tokens.json", all)
}

// read fills out from a file; one that does not exist leaves it as it is.
func (p profiles) read(name string, secret bool, out any) error {
	path := filepath.Join(p.dir, name)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the profile: %w", err)
	}
	if secret && runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s: %w", path, errLoose)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the profile: %w", err)
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("read the profile %s: %w", path, err)
	}
	return nil
}

// write replaces a file as a whole.
func (p profiles) write(name string, value any) (err error) {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("write the profile: %w", err)
	}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return fmt.Errorf("write the profile: %w", err)
	}
	file, err := os.CreateTemp(p.dir, name+".*") // 0600 from the start
	if err != nil {
		return fmt.Errorf("write the profile: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name())
		}
	}()
	_, err = file.Write(append(text, '\n'))
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("write the profile: %w", err)
	}
	if err := os.Rename(file.Name(), filepath.Join(p.dir, name)); err != nil {
		return fmt.Errorf("write the profile: %w", err)
	}
	return nil
}
