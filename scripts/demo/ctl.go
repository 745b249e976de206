package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// ctl is somebody at a terminal of his own with evcsctl.
type ctl struct {
	path string
	env  []string
}

// sit signs a person in at a terminal.
func sit(ctx context.Context, path, dir, server string, who person) (*ctl, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	home := filepath.Join(dir, strings.ReplaceAll(who.user, "@", "-"))
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, err
	}
	c := &ctl{path: path, env: append(os.Environ(), "XDG_CONFIG_HOME="+home, "EVCS_SERVER="+server, "LANG=C.UTF-8")}
	login := exec.CommandContext(ctx, path, "login", who.user, "--password-stdin")
	login.Env, login.Stdin = c.env, strings.NewReader(who.password+"\n")
	if out, err := login.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("evcsctl login %s: %w: %s", who.user, err, out)
	}
	return c, nil
}

// run runs evcsctl and wants an exit code. Its JSON goes into v, when that is
// not nil.
func (c *ctl) run(ctx context.Context, code int, v any, args ...string) error {
	if v != nil {
		args = append(args, "-o", "json")
	}
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(ctx, c.path, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = c.env, &out, &errOut
	err := cmd.Run()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		return err
	}
	if got := cmd.ProcessState.ExitCode(); got != code {
		return fmt.Errorf("evcsctl %s: exit code %d, want %d: %s", strings.Join(args, " "), got, code, errOut.String())
	}
	if v == nil {
		return nil
	}
	if err := json.Unmarshal(out.Bytes(), v); err != nil {
		return fmt.Errorf("evcsctl %s: %w in %.200s", strings.Join(args, " "), err, out.String())
	}
	return nil
}
