package help_test

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/evcs/evcs/internal/help"
)

const table = "Do it\t做\nDo it at length:\\nfirst, \\\\n\t详细地做:\\n先, \\\\n\nhow often\t次数\nkind\t种类\nPart\t部分\nPart:\t部分:\n"

func command() *cobra.Command {
	root := &cobra.Command{Use: "tool", Short: "Do it", Long: "Do it at length:\nfirst, \\n", RunE: func(*cobra.Command, []string) error { return nil }}
	root.AddGroup(&cobra.Group{ID: "part", Title: "Part:"})
	child := &cobra.Command{Use: "part", Short: "Part", GroupID: "part", RunE: root.RunE}
	child.Flags().Int("times", 3, "how often"+help.Needed)
	child.Flags().String("kind", "", "kind: a, b-c")
	root.AddCommand(child)
	return root
}

func TestTextsAreFound(t *testing.T) {
	t.Parallel()
	texts := help.Read(table)
	for text, want := range map[string]struct {
		key, zh string
		known   bool
	}{
		"Do it":                        {"Do it", "做", true},
		"Do it at length:\nfirst, \\n": {"Do it at length:\nfirst, \\n", "详细地做:\n先, \\n", true},
		"how often (required)":         {"how often", "次数 (必需)", true},
		"kind: a, b-c":                 {"kind", "种类: a, b-c", true},
		"help for tool":                {"", "tool 的帮助", true},
		"kind: of what it is":          {"kind: of what it is", "kind: of what it is", false}, // a sentence, not a list
		"Do it: a\nb":                  {"Do it: a\nb", "Do it: a\nb", false},
		"something":                    {"something", "something", false},
	} {
		if key, zh, known := texts.Find(text); key != want.key || zh != want.zh || known != want.known {
			t.Errorf("%q: %q %q %v", text, key, zh, known)
		}
	}
}

func TestHelpIsInTheLanguageOfTheMoment(t *testing.T) {
	t.Parallel()
	for lang, x := range map[string]struct{ has, lacks []string }{
		"zh": {[]string{"用法:", "次数 (必需) (default 3)", "种类: a, b-c", "part 的帮助"}, []string{"Usage", "how often", "help for"}},
		"en": {[]string{"Usage:", "how often (required) (default 3)", "help for part"}, []string{"用法", "次数"}},
	} {
		root := command()
		var out strings.Builder
		root.SetOut(&out)
		root.SetArgs([]string{"part", "--help"})
		met := ""
		help.Speak(root, func() string { return lang }, func() help.Texts { return help.Read(table) }, func(c *cobra.Command) { met = c.Name() })
		if err := root.Execute(); err != nil {
			t.Fatal(err)
		}
		for _, text := range x.has {
			if !strings.Contains(out.String(), text) {
				t.Errorf("%s: %q is missing in\n%s", lang, text, out.String())
			}
		}
		for _, text := range x.lacks {
			if strings.Contains(out.String(), text) {
				t.Errorf("%s: %q is in\n%s", lang, text, out.String())
			}
		}
		if met != "part" {
			t.Errorf("%q was met", met)
		}
	}
}

func TestEverythingThatIsSaidIsMet(t *testing.T) {
	t.Parallel()
	texts, said := help.Read(table), 0
	help.Said(command(), func(where, text string) {
		said++
		if _, _, known := texts.Find(text); !known {
			t.Errorf("%s: %q", where, text)
		}
	})
	if said != 6 {
		t.Errorf("%d texts", said)
	}
}

func TestTheFirstThatSaysSomethingDecides(t *testing.T) {
	t.Parallel()
	for want, given := range map[string][]string{"zh": {"", "zh_CN.UTF-8", "en"}, "en": {"C", "zh"}} {
		if got := help.Lang(given...); got != want {
			t.Errorf("%q: %s", given, got)
		}
	}
	if got := help.Lang(); got != "en" {
		t.Error(got)
	}
	env := map[string]string{"LANG": "zh_CN.UTF-8", "LC_ALL": "en_GB.UTF-8"}
	getenv := func(name string) string { return env[name] }
	if got := help.EnvLang(getenv); got != "en" {
		t.Error("LC_ALL is before LANG")
	}
	env["EVCS_LANG"] = "ZH"
	if got := help.EnvLang(getenv); got != "zh" {
		t.Error("EVCS_LANG is before all")
	}
}
