package daemon

import (
	"bytes"
	"strings"
	"testing"
)

func TestVersionTellsTheBuild(t *testing.T) {
	t.Parallel()
	var out, errOut bytes.Buffer
	if code := Main(t.Context(), BuildOf("v1.2.3", "abc1234", "2026-02-10T10:00:00Z"), []string{"version"}, nil, &out, &errOut); code != 0 {
		t.Fatalf("%d: %s", code, errOut.String())
	}
	if got := out.String(); !strings.HasPrefix(got, "evcsd v1.2.3, commit abc1234, built 2026-02-10T10:00:00Z, go1.") {
		t.Errorf("%q", got)
	}
	if b := BuildOf("", "", ""); b.Version == "" {
		t.Error("a build without flags has no version")
	}
}
