package ocppj

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// FuzzScanner holds the scanner against encoding/json: the same texts are
// valid, and every string means the same.
func FuzzScanner(f *testing.F) {
	for _, s := range []string{
		`{"a":[1,-2.5e+3,true,false,null,"x\u00e9\ud83d\ude00\ud800"],"b":{}}`, `[]`, `[1,]`, `{"a":1,}`, `01`, `-`, `"\x"`, `"` + "\x01" + `"`,
		`[2,"19223201","BootNotification",{"chargePointVendor":"V"}]`, ` 1.`, `tru`, `"\u12`, `{"a" 1}`, `{1:2}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s := NewScanner(text)
		raw := s.Raw()
		valid := s.End()
		if valid != json.Valid(text) && !deep(text) {
			t.Fatalf("valid %v, encoding/json says %v: %q", valid, !valid, text)
		}
		if !valid {
			return
		}
		if !bytes.Equal(raw, bytes.Trim(text, " \t\r\n")) {
			t.Fatalf("raw is %q", raw)
		}
		if raw[0] != '"' {
			return
		}
		s = NewScanner(text)
		got, ok := s.Text()
		var want string
		if err := json.Unmarshal(text, &want); err != nil || !ok || strings.ToValidUTF8(string(got), "\uFFFD") != strings.ToValidUTF8(want, "\uFFFD") && !bytes.ContainsRune(got, '\uFFFD') {
			// encoding/json replaces each invalid byte, ToValidUTF8 each run of them
			if collapse(string(got)) != collapse(want) {
				t.Fatalf("text %q, want %q (%v)", got, want, err)
			}
		}
	})
}

func collapse(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	for strings.Contains(s, "\uFFFD\uFFFD") {
		s = strings.ReplaceAll(s, "\uFFFD\uFFFD", "\uFFFD")
	}
	return s
}

func deep(text []byte) bool {
	return bytes.Count(text, []byte("[")) > maxDepth/2 || bytes.Count(text, []byte("{")) > maxDepth/2
}

// FuzzFrame: whatever comes, the envelope is judged without panic, and a good
// one means what encoding/json reads.
func FuzzFrame(f *testing.F) {
	for _, s := range []string{
		`[2,"1","Heartbeat",{}]`, `[3,"1",{"status":"Accepted"}]`, `[4,"1","GenericError","",{}]`, `[4,"1","X"]`, `[2,1,"A",{}]`,
		`[2,"1","A",{},{}]`, `[2,"1"]`, `[`, `[2,`, `[2,"1","A",]`, `[2,"1","A",{}`, `{}`, "\x00", `[5,"1","A",{}]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, bad := parseFrame(text)
		var parts []json.RawMessage
		if json.Unmarshal(text, &parts) != nil || len(parts) < 3 || len(parts) > 4 {
			return
		}
		if bad != faultNone {
			if k := string(parts[0]); bad == faultFormat && len(parts) == 4 && k == "2" && !deep(text) {
				t.Fatalf("%q is JSON, judged %v", text, bad)
			}
			return
		}
		if !bytes.Equal(got.id, parts[1]) {
			t.Fatalf("id %q, want %q", got.id, parts[1])
		}
		if got.kind == typeCall && len(parts) == 4 && !bytes.Equal(bytes.TrimSpace(got.payload), parts[3]) {
			t.Fatalf("payload %q, want %q", got.payload, parts[3])
		}
	})
}

func TestFrameAllocatesNothing(t *testing.T) {
	text := []byte(`[2,"0b1c5a30-7d3e-4e4b-9e52-0f1c2d3e4f50","MeterValues",{"connectorId":1,"meterValue":[]}]`)
	if n := testing.AllocsPerRun(100, func() {
		if _, bad := parseFrame(text); bad != faultNone {
			t.Error("bad frame")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestAppendText(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", `a"b\c`, "tab\there\n\x01", "汽车 é", "\xff\xfe", "\u2028"} {
		var got string
		if err := json.Unmarshal(AppendText(nil, s), &got); err != nil || got != strings.ToValidUTF8(s, "\uFFFD") && collapse(got) != collapse(s) {
			t.Errorf("%q became %q (%v)", s, got, err)
		}
	}
}
