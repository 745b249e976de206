package simulate

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evcs/evcs/internal/chargersim"
)

func TestCommandRunsAgainstARealSocket(t *testing.T) {
	t.Parallel()
	s := &platform{t: t}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	dir := t.TempDir()
	list, journal := filepath.Join(dir, "chargers.csv"), filepath.Join(dir, "journal.jsonl")
	must(t, os.WriteFile(list, []byte("deviceId,secret,protocol,kind,connectors\n# two of them\nCP-1,secret,OCPP16,AC22,2\nCP-2,secret\n"), 0o600))
	var out, errOut bytes.Buffer
	code := Command(t.Context(), []string{
		"--url", "ws" + strings.TrimPrefix(srv.URL, "http") + "/ocpp", "--chargers", list, "--charger", "CP-3:secret",
		"--profile", "busy", "--sessions", "2", "--speed", "3600", "--duration", "30s", "--journal", journal, "-o", "json",
	}, &out, &errOut, nil)
	if code != 0 {
		t.Fatalf("exit code %d: %s%s", code, errOut.String(), out.String())
	}
	var got Summary
	must(t, json.Unmarshal(out.Bytes(), &got))
	if got.Started != 8 || got.Stopped != 8 || got.Undelivered != 0 || s.starts != 8 {
		t.Errorf("summary %+v; server heard %d starts", got, s.starts)
	}
	text, err := os.ReadFile(journal)
	must(t, err)
	if lines := bytes.Count(text, []byte("\n")); lines != 16+got.Samples {
		t.Errorf("%d journal lines, want 16 and %d samples", lines, got.Samples)
	}
	if strings.Contains(string(text), "secret") {
		t.Error("the journal tells the secret")
	}
}

func TestCommandSaysHowCardsBecomeKnown(t *testing.T) {
	t.Parallel()
	for _, noTags := range []bool{true, false} {
		srv := httptest.NewServer(&platform{t: t, noTags: noTags})
		t.Cleanup(srv.Close)
		var out, errOut bytes.Buffer
		code := Command(t.Context(), []string{
			"--url", "ws" + strings.TrimPrefix(srv.URL, "http") + "/ocpp", "--charger", "CP-1:secret", "--tag", "DEMO",
			"--profile", "busy", "--sessions", "1", "--speed", "240", "--duration", "10s", // slow enough for a car to wait for its answer
		}, &out, &errOut, nil)
		if code != 0 {
			t.Fatalf("exit code %d: %s%s", code, errOut.String(), out.String())
		}
		if told := strings.Contains(errOut.String(), "evcsctl id-tag create"); told != noTags {
			t.Errorf("platform without cards %v: says %q", noTags, errOut.String())
		}
	}
}

func TestCommandRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args []string
		want string
		code int
	}{
		{nil, "0 chargers", 2},
		{[]string{"extra"}, "unknown command", 2},
		{[]string{"--no-such-flag"}, "unknown flag", 2},
		{[]string{"--charger", "CP-1"}, "ID:SECRET", 2},
		{[]string{"--charger", "CP-1:x", "--url", "ws://203.0.113.7/ocpp"}, "not on this machine", 2},
		{[]string{"--charger", "CP-1:x", "--url", "tcp://127.0.0.1"}, "ws:// or wss://", 2},
		{[]string{"--charger", "CP-1:x", "--charger", "CP-1:y"}, "once", 2},
		{[]string{"--charger", "CP-1:x", "--speed", "100000"}, "speed", 2},
		{[]string{"--charger", "CP-1:x", "--duration", "1000h"}, "duration", 2},
		{[]string{"--charger", "CP-1:x", "--faults", "gremlins"}, "gremlins", 2},
		{[]string{"--charger", "CP-1:x", "--faults", "drop=0"}, "positive", 2},
		{[]string{"--charger", "CP-1:x", "--profile", "nobody"}, "nobody", 2},
		{[]string{"--charger", "CP-1:x", "-o", "xml"}, "xml", 2},
		{[]string{"--chargers", "/no/such/file"}, "no such file", 2},
	} {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			t.Parallel()
			var out, errOut bytes.Buffer
			if code := Command(t.Context(), test.args, &out, &errOut, nil); code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			if !strings.Contains(errOut.String(), test.want) {
				t.Errorf("says %q, want %q in it", errOut.String(), test.want)
			}
		})
	}
}

func TestCommandTellsWhenNobodyIsThere(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	address := l.Addr().String()
	must(t, l.Close())
	var out, errOut bytes.Buffer
	o := options{
		url: "ws://" + address + "/ocpp", http: "http://127.0.0.1", chargers: []string{"CP-1:x"}, scenario: "remote", faults: "none",
		output: "text", speed: 1, duration: 300 * time.Millisecond, meterEvery: time.Minute,
	}
	cfg, err := o.config()
	must(t, err)
	code, err := o.run(t.Context(), cfg, &out, io.Discard)
	if code != exitUnreachable || err != nil {
		t.Errorf("exit code %d, %v, %s%s", code, err, out.String(), errOut.String())
	}
	if !strings.Contains(out.String(), "last failure to connect") {
		t.Errorf("says %s", out.String())
	}
}

func TestReadChargers(t *testing.T) {
	t.Parallel()
	want := []chargersim.ChargerConfig{{DeviceID: "A", Secret: "s", Protocol: chargersim.CloudCharge, Kind: "AC7", Connectors: 2}, {DeviceID: "B", Secret: "t"}}
	for name, text := range map[string]string{
		"csv":  "A,s,CLOUDCHARGE,AC7,2\nB,t\n",
		"json": `[{"deviceId":"A","secret":"s","protocol":"CLOUDCHARGE","kind":"AC7","connectors":2},{"deviceId":"B","secret":"t"}]`,
	} {
		got, err := ReadChargers([]byte(text))
		must(t, err)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for _, text := range []string{"A\n", "A,s,OCPP16,AC7,many\n", "a,b,c,d,1,f\n", `[{"id":"A"}]`, "[1"} {
		if _, err := ReadChargers([]byte(text)); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}
