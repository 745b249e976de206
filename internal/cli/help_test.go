package cli

import (
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/evcs/evcs/internal/chargersim/simulate"
	"github.com/evcs/evcs/internal/help"
	"github.com/evcs/evcs/internal/paygate"
)

func everyCommand(c *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{c}
	for _, child := range c.Commands() {
		all = append(all, everyCommand(child)...)
	}
	return all
}

func bare() *cobra.Command {
	return newRoot(newEnv(Program{Getenv: func(string) string { return "" }}))
}

// guestCommands are the commands of the simulator and the gateway, which are
// packages of their own.
func guestCommands(t *testing.T) []*cobra.Command {
	t.Helper()
	var list []*cobra.Command
	meet := func(c *cobra.Command) { list = append(list, c) }
	ask := []string{"--help"}
	if code := simulate.Command(t.Context(), ask, io.Discard, io.Discard, meet); code != exitOK {
		t.Errorf("simulate --help: %d", code)
	}
	if code := paygate.Command(t.Context(), ask, io.Discard, io.Discard, time.Now, meet); code != exitOK {
		t.Errorf("gateway --help: %d", code)
	}
	for _, c := range list {
		if f := c.Flags().Lookup("help"); f != nil {
			f.Hidden = true // it came with the question; no page of ours shows it
		}
	}
	return list
}

func TestEveryHelpTextHasItsChinese(t *testing.T) {
	t.Parallel()
	for file, x := range map[string]struct {
		table string
		roots []*cobra.Command
	}{"zh.tsv": {chinese, []*cobra.Command{bare()}}, "zh_guests.tsv": {guests, append(guestCommands(t), &cobra.Command{Use: "--lang", Short: "en or zh (default from the locale)"})}} {
		texts := help.Read(x.table)
		used := map[string]bool{"": true, "Help about any command": true}
		for _, root := range x.roots {
			help.Said(root, func(where, text string) {
				key, _, known := texts.Find(text)
				used[key] = true
				if !known && !(strings.HasPrefix(where, "evcsctl completion") && strings.Contains(text, "\n")) { // how a shell takes it over is cobra's
					t.Errorf("%s: %q has no Chinese", where, text)
				}
			})
		}
		for text, zh := range texts {
			if !used[text] {
				t.Errorf("%s: nothing says %q", file, text)
			}
			if zh == "" {
				t.Errorf("%s: %q has no Chinese", file, text)
			}
		}
	}
}

func TestHelpSpeaksTheLanguage(t *testing.T) {
	t.Parallel()
	vars := map[string]string{"LANG": "zh_CN.UTF-8", "XDG_CONFIG_HOME": t.TempDir()}
	for args, want := range map[string][]string{
		"--help":                      {"用法:", "充电与资金:", "充电订单"},
		"order refund --help":         {"用法:", "示例:", "evcsctl order refund 318", "元; 默认全部剩余", "原因 (必需)", "全局参数:"},
		"order list --help --lang en": {"Usage:", "Examples:", "most rows to read"},
		"completion bash --help":      {"用法:"},
		"order list --help":           {"list 的帮助"},
		"help exit-codes":             {"130  被中断"},
		"help exit-codes --lang en":   {"130  interrupted"},
	} {
		got := run(t, vars, "", strings.Fields(args)...)
		for _, text := range want {
			if got.code != 0 || !strings.Contains(got.out, text) {
				t.Errorf("%s: %q is missing in\n%s", args, text, got.out)
			}
		}
	}
}

// TestEveryExampleIsAccepted parses the examples as the shell would hand them
// over: the command is found, its flags and the number of its arguments hold.
func TestEveryExampleIsAccepted(t *testing.T) {
	t.Parallel()
	seen := 0
	for _, c := range everyCommand(bare()) {
		path := c.CommandPath()
		if c.HasSubCommands() || !c.Runnable() || strings.HasPrefix(path, "evcsctl completion") || path == "evcsctl help" || path == "evcsctl simulate" {
			continue
		}
		for line := range strings.SplitSeq(exampleOf(c), "\n") {
			args := shellWords(strings.TrimSpace(line))
			root := bare()
			found, rest, err := root.Find(args[1:])
			if err != nil || found.CommandPath() != path {
				t.Errorf("%s: %v finds %s, %v", path, args, found.CommandPath(), err)
				continue
			}
			if err := found.ParseFlags(rest); err != nil {
				t.Errorf("%s: %v", line, err)
			} else if err := found.ValidateArgs(found.Flags().Args()); err != nil {
				t.Errorf("%s: %v", line, err)
			}
			seen++
		}
	}
	if seen < 150 {
		t.Errorf("only %d examples", seen)
	}
	for path := range spelled {
		if !slices.ContainsFunc(everyCommand(bare()), func(c *cobra.Command) bool { return c.CommandPath() == path }) {
			t.Errorf("an example for %s, which is no command", path)
		}
	}
}

// shellWords splits a line at spaces outside quotes.
func shellWords(line string) []string {
	var words []string
	var quote rune
	word, open := "", false
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word += string(r)
		case r == '\'' || r == '"':
			quote, open = r, true
		case r == ' ':
			if word != "" || open {
				words = append(words, word)
			}
			word, open = "", false
		default:
			word += string(r)
		}
	}
	if word != "" || open {
		words = append(words, word)
	}
	return words
}

// TestNounsAreWhatTheyBuild holds the texts at the top to those of the commands,
// and the short start to the whole tree.
func TestNounsAreWhatTheyBuild(t *testing.T) {
	t.Parallel()
	e := newEnv(Program{Getenv: func(string) string { return "" }})
	for _, part := range parts() {
		for _, n := range part.nouns {
			c := n.build(e)
			if c.Name() != n.name || c.Short != n.short {
				t.Errorf("%q %q builds %q %q", n.name, n.short, c.Name(), c.Short)
			}
			for _, alias := range c.Aliases {
				root := newRootFor(e, []string{alias})
				if found, _, err := root.Find([]string{alias}); err != nil || found.HasSubCommands() != c.HasSubCommands() {
					t.Errorf("the alias %s of %s is not built", alias, n.name)
				}
			}
		}
	}
	for _, args := range [][]string{{"order", "list"}, {"--lang", "zh", "help", "order", "list"}, {"-o", "json", "order", "ls"}} {
		root := newRootFor(e, args)
		if found, _, err := root.Find([]string{"order", "list"}); err != nil || found.CommandPath() != "evcsctl order list" {
			t.Errorf("%v: %v", args, err)
		}
	}
}
