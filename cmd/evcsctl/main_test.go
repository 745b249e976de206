package main

import (
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/evcs/evcs/internal/cli"
	"github.com/evcs/evcs/internal/help"
)

// run is evcsctl as it is built, in a locale.
func run(t *testing.T, locale string, args ...string) string {
	t.Helper()
	var out strings.Builder
	p := program()
	p.Args, p.In, p.Out, p.Err = args, strings.NewReader(""), &out, &out
	p.Getenv = func(name string) string {
		return map[string]string{"LANG": locale, "XDG_CONFIG_HOME": t.TempDir()}[name]
	}
	if code := cli.Main(t.Context(), p); code != 0 {
		t.Fatalf("%v: %d\n%s", args, code, out.String())
	}
	return out.String()
}

// TestSimulateAndGatewaySpeakTheLanguage asks every command of the packages that
// only the program brings together for its help: nothing of it is English where
// Chinese is wanted, and every sentence is there where English is.
func TestSimulateAndGatewaySpeakTheLanguage(t *testing.T) {
	t.Parallel()
	p := program()
	var tops []*cobra.Command
	meet := func(c *cobra.Command) { tops = append(tops, c) }
	p.Simulate(t.Context(), []string{"--help"}, io.Discard, io.Discard, meet)
	p.Gateway(t.Context(), []string{"--help"}, io.Discard, io.Discard, p.Now, meet)
	asked := 0
	var each func(c *cobra.Command)
	each = func(c *cobra.Command) {
		args := append(strings.Fields(c.CommandPath())[1:], "--help")
		zh, en := run(t, "zh_CN.UTF-8", args...), run(t, "en_US.UTF-8", args...)
		if c.Example == "" && c.Runnable() && !c.HasSubCommands() || !strings.Contains(zh, c.Example) {
			t.Errorf("%s: no example", c.CommandPath())
		}
		own := *c
		own.ResetCommands()
		help.Said(&own, func(where, text string) {
			if c.Long != "" && text == c.Short {
				return // the long text stands for it
			}
			if strings.Contains(zh, text) || !strings.Contains(en, text) {
				t.Errorf("%s: %q\n%s\n%s", where, text, zh, en)
			}
		})
		if !strings.Contains(zh, "用法:") || strings.Contains(zh, "Usage:") {
			t.Errorf("%s: %s", c.CommandPath(), zh)
		}
		asked++
		for _, child := range c.Commands() {
			each(child)
		}
	}
	for _, c := range tops {
		each(c)
	}
	if asked < 6 {
		t.Errorf("%d commands", asked)
	}
	for _, args := range [][]string{{"help", "gateway"}, {"gateway"}, {"gateway", "--lang", "zh", "--help"}, {"--lang", "zh", "gateway", "--help"}} {
		locale := "zh_CN.UTF-8"
		if len(args) > 2 {
			locale = "C"
		}
		if text := run(t, locale, args...); !strings.Contains(text, "列出网关已知的交易") {
			t.Errorf("%v: %s", args, text)
		}
	}
}
