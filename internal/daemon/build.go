package daemon

import (
	"runtime"
	"runtime/debug"
	"strings"
)

// Build says which program this is.
type Build struct {
	Version string
	Commit  string // "" when the build does not know
	Date    string // RFC 3339; "" when the build does not know
}

// BuildOf is the build as the release wrote it into the program; what it left
// empty comes from the module's own record.
func BuildOf(version, commit, date string) Build {
	b := Build{Version: version, Commit: commit, Date: date}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if b.Version == "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && b.Commit == "":
			b.Commit = s.Value
		case s.Key == "vcs.time" && b.Date == "":
			b.Date = s.Value
		}
	}
	if b.Version == "" {
		b.Version = "devel"
	}
	return b
}

// String is the build in one line.
func (b Build) String() string {
	words := []string{b.Version}
	if b.Commit != "" {
		words = append(words, "commit "+b.Commit)
	}
	if b.Date != "" {
		words = append(words, "built "+b.Date)
	}
	return strings.Join(append(words, runtime.Version()+" "+runtime.GOOS+"/"+runtime.GOARCH), ", ")
}
