package daemon

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/evcs/evcs/internal/help"
)

// TestEveryHelpTextHasItsChinese goes through all commands, their flags and long
// texts.
func TestEveryHelpTextHasItsChinese(t *testing.T) {
	t.Parallel()
	texts, used := help.Read(chinese), map[string]bool{}
	help.Said(program{}.command(), func(where, text string) {
		key, _, known := texts.Find(text)
		used[key] = true
		if !known {
			t.Errorf("%s: %q has no Chinese", where, text)
		}
	})
	for text, zh := range texts {
		if !used[text] || zh == "" {
			t.Errorf("zh.tsv: %q: said %v, %q", text, used[text], zh)
		}
	}
}

func TestHelpIsInTheLanguageOfTheEnvironment(t *testing.T) {
	t.Parallel()
	var every func(c *cobra.Command) []string
	every = func(c *cobra.Command) []string {
		paths := []string{c.CommandPath()}
		for _, child := range c.Commands() {
			paths = append(paths, every(child)...)
		}
		return paths
	}
	for _, path := range every(program{}.command()) {
		for _, x := range []struct {
			env         []string
			says, never string
		}{
			{[]string{"LANG=zh_CN.UTF-8"}, "用法:", "Usage:"},
			{[]string{"LANG=zh_CN.UTF-8", "EVCS_LANG=en"}, "Usage:", "用法:"},
			{nil, "Usage:", "用法:"},
		} {
			var out strings.Builder
			code := Main(t.Context(), Build{}, append(strings.Fields(path)[1:], "--help"), x.env, &out, &out)
			if text := out.String(); code != 0 || !strings.Contains(text, x.says) || strings.Contains(text, x.never) {
				t.Errorf("%s in %v: %d\n%s", path, x.env, code, text)
			}
		}
	}
}
