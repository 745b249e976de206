package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	qrcode "github.com/skip2/go-qrcode"
)

// A sign-in asks for the code only when the server wants one, and says it with
// the password.
func TestLoginAsksForTheSecondFactor(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct {
		facts   string // of the first refusal
		prompts int
		exit    int
	}{
		"wanted":           {`{"totpRequired":true}`, 2, 0},
		"a wrong password": {`null`, 1, exitDenied},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var shown []string
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var body struct{ Password, Totp string }
				_ = json.NewDecoder(r.Body).Decode(&body)
				shown = append(shown, body.Password+"/"+body.Totp)
				w.Header().Set("Content-Type", "application/json")
				if body.Totp == "492039" {
					fmt.Fprint(w, `{"code":200,"data":{"token":"t","refreshToken":"r","userInfo":{"identifier":"boss@A"}}}`)
					return
				}
				w.WriteHeader(http.StatusUnauthorized)
				fmt.Fprintf(w, `{"code":6001,"message":"wrong","data":%s}`, want.facts)
			}))
			t.Cleanup(server.Close)
			answers := []string{"secret", "492039"}
			asked := 0
			dir := t.TempDir()
			var out, complaints bytes.Buffer
			exit := Main(t.Context(), Program{
				Args: []string{"login", "boss@A", "--server", server.URL}, In: strings.NewReader(""), Out: &out, Err: &complaints, Now: time.Now,
				Getenv: func(name string) string {
					return map[string]string{"EVCS_CONFIG_DIR": dir, "HOME": dir, "XDG_CONFIG_HOME": filepath.Join(dir, "c"), "EVCS_LANG": "en"}[name]
				},
				Version: Version{Version: "1.0.0"},
				ReadPassword: func(io.Reader) ([]byte, error) {
					asked++
					return []byte(answers[asked-1]), nil
				},
			})
			if exit != want.exit || asked != want.prompts {
				t.Errorf("exit %d after %d prompts, want %d after %d\n%s", exit, asked, want.exit, want.prompts, complaints.String())
			}
			if last := []string{"secret/", "secret/492039"}[:want.prompts]; !slices.Equal(shown, last) {
				t.Errorf("shown to the server: %q", shown)
			}
		})
	}
}

// The secret of a second factor is shown as a QR code, beside the output and only
// for people, or when it is asked for.
func TestEnrolmentShowsAQRCode(t *testing.T) {
	t.Parallel()
	const uri = "otpauth://totp/EVCS:boss%40A?secret=JBSWY3DPEHPK3PXP&issuer=EVCS"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"code":200,"data":{"secret":"JBSWY3DPEHPK3PXP","uri":%q}}`, uri)
	}))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (string, string) {
		var out, beside bytes.Buffer
		exit := Main(t.Context(), Program{
			Args: append([]string{"user", "totp", "enrol", "--server", server.URL, "--password-file", password}, args...),
			In:   strings.NewReader(""), Out: &out, Err: &beside, Now: time.Now,
			Getenv: func(name string) string {
				return map[string]string{"EVCS_CONFIG_DIR": dir, "HOME": dir, "XDG_CONFIG_HOME": dir, "EVCS_TOKEN": "t", "EVCS_LANG": "en"}[name]
			},
			Version: Version{Version: "1.0.0"},
		})
		if exit != 0 {
			t.Fatalf("exit %d: %s", exit, beside.String())
		}
		return out.String(), beside.String()
	}
	code, err := qrcode.New(uri, qrcode.Low)
	if err != nil {
		t.Fatal(err)
	}
	if out, beside := run("--qr", "-o", "json"); !strings.Contains(out, "JBSWY3DPEHPK3PXP") || strings.Contains(out, "\u2588") || beside != code.ToSmallString(false) {
		t.Errorf("output %s, beside it:\n%s", out, beside)
	}
	if _, beside := run("-o", "json"); beside != "" {
		t.Errorf("a program is shown\n%s", beside)
	}
}
