// Package help shows the help of a program's commands in the language of its
// reader: English as the commands are built, Chinese by a table of texts.
package help

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Needed is how the text of a flag says that the command does not work without.
const Needed = " (required)"

// ours begins the text of the flag that cobra adds to every command.
const ours = "help for "

// Lang is zh or en: the first of these that says something decides, the
// locale's names included.
func Lang(given ...string) string {
	for _, text := range given {
		if text != "" {
			if strings.HasPrefix(strings.ToLower(text), "zh") {
				return "zh"
			}
			return "en"
		}
	}
	return "en"
}

// EnvLang is the language that the environment asks for.
func EnvLang(getenv func(string) string) string {
	return Lang(getenv("EVCS_LANG"), getenv("LC_ALL"), getenv("LC_MESSAGES"), getenv("LANG"))
}

// Texts are English texts with their Chinese.
type Texts map[string]string

// Read reads a table: a text a line, English, tab, Chinese; \n in a text stands
// for the end of a line, \\ for the stroke itself.
func Read(table string) Texts {
	texts := Texts{}
	lines := strings.NewReplacer(`\\`, `\`, `\n`, "\n")
	for line := range strings.Lines(table) {
		if en, zh, ok := strings.Cut(strings.TrimRight(line, "\n"), "\t"); ok {
			texts[lines.Replace(en)] = lines.Replace(zh)
		}
	}
	return texts
}

// Find looks a text up. key is what stands in the table: the text; without the
// mark of a flag that is needed; or, of a text that ends in a list of names,
// what stands before the list.
func (t Texts) Find(text string) (key, zh string, known bool) {
	if name, ok := strings.CutPrefix(text, ours); ok {
		return "", name + " 的帮助", true
	}
	bare, required := strings.CutSuffix(text, Needed)
	if zh, known = t[bare]; known {
		if required {
			zh += " (必需)"
		}
		return bare, zh, true
	}
	head, list, listed := strings.Cut(bare, ": ")
	if zh, known = t[head]; listed && known && names(list) {
		return head, zh + ": " + list, true
	}
	return bare, text, false
}

// names reports whether a text is words with commas between.
func names(list string) bool {
	for word := range strings.SplitSeq(list, ", ") {
		if word == "" || strings.ContainsAny(word, " \n") {
			return false
		}
	}
	return true
}

// Translate gives a command, and what its help names, the Chinese texts. A text
// without stays as it is.
func (t Texts) Translate(c *cobra.Command) {
	say := func(text string) string {
		_, zh, _ := t.Find(text)
		return zh
	}
	c.Short, c.Long = say(c.Short), say(c.Long)
	for _, child := range c.Commands() {
		child.Short = say(child.Short)
	}
	for _, group := range c.Groups() {
		group.Title = say(group.Title)
	}
	for _, flags := range []*pflag.FlagSet{c.LocalFlags(), c.InheritedFlags()} {
		flags.VisitAll(func(f *pflag.Flag) { f.Usage = say(f.Usage) })
	}
	c.SetUsageTemplate(frame.Replace(c.UsageTemplate()))
}

// frame are cobra's own words.
var frame = strings.NewReplacer(
	"Usage:", "用法:", "Aliases:", "别名:", "Examples:", "示例:", "Available Commands:", "命令:", "Additional Commands:", "其他命令:",
	"Additional help topics:", "其他帮助主题:", "Global Flags:", "全局参数:", "Flags:", "参数:",
	"Use \"{{.CommandPath}} [command] --help\" for more information about a command.", "用 \"{{.CommandPath}} [command] --help\" 查看命令的详情。",
)

// Speak has a command, and everything below it, show its help in the language
// of the moment. texts are read when they are needed only; before, when it is
// not nil, sees the command first.
func Speak(root *cobra.Command, lang func() string, texts func() Texts, before func(*cobra.Command)) {
	plain := root.HelpFunc()
	root.SetHelpFunc(func(c *cobra.Command, args []string) {
		if before != nil {
			before(c)
		}
		if lang() == "zh" {
			texts().Translate(c)
		}
		plain(c, args)
	})
}

// Said calls f with every text that the help of a command and of all below it
// shows, and with where it stands.
func Said(c *cobra.Command, f func(where, text string)) {
	f(c.CommandPath(), c.Short)
	if c.Long != "" {
		f(c.CommandPath(), c.Long)
	}
	for _, group := range c.Groups() {
		f(c.CommandPath(), group.Title)
	}
	c.LocalFlags().VisitAll(func(flag *pflag.Flag) { f(c.CommandPath()+" --"+flag.Name, flag.Usage) })
	for _, child := range c.Commands() {
		Said(child, f)
	}
}
