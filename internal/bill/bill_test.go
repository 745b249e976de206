package bill_test

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/evcs/evcs/internal/bill"
	"github.com/evcs/evcs/internal/evcs"
)

func gz(t testing.TB, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zipped(t testing.TB, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		w, err := z.CreateHeader(&zip.FileHeader{Name: files[i], Method: zip.Deflate, NonUTF8: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, files[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// texts reads a file whole.
func texts(r io.Reader) (list []string, err error) {
	err = bill.Each(r, func(name string, text io.Reader) error {
		all, err := io.ReadAll(text)
		list = append(list, name, string(all))
		return err
	})
	return list, err
}

// stream hides everything of a reader but Read.
type stream struct{ io.Reader }

func TestPackings(t *testing.T) {
	t.Parallel()
	gbk, err := simplifiedchinese.GB18030.NewEncoder().String("业务明细(汇总).csv")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		file []byte
		want []string
	}{
		"plain":     {[]byte("a,b\n"), []string{"", "a,b\n"}},
		"empty":     {nil, []string{"", ""}},
		"gzip":      {gz(t, []byte("a,b\n")), []string{"", "a,b\n"}},
		"two gzips": {append(gz(t, []byte("a")), gz(t, []byte("b"))...), []string{"", "ab"}},
		"zip":       {zipped(t, gbk, "1", "../../etc/passwd", "2"), []string{"业务明细(汇总).csv", "1", "../../etc/passwd", "2"}},
	} {
		for how, r := range map[string]io.Reader{"file": bytes.NewReader(c.file), "stream": stream{bytes.NewReader(c.file)}} {
			got, err := texts(r)
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%s as a %s: %v %q", name, how, err, got)
			}
		}
	}
}

// TestBadFiles: what a hostile or broken file does, and that it is told as the
// file's fault.
func TestBadFiles(t *testing.T) {
	t.Parallel()
	many := make([]string, 0, 40)
	for range 20 {
		many = append(many, "x", "y")
	}
	good := zipped(t, "a", strings.Repeat("b", 1000))
	hidden := zipped(t, many...)
	binary.LittleEndian.PutUint16(hidden[len(hidden)-12:], 1) // says that it has one file
	long := make([]string, 0, 8)
	for range 4 {
		long = append(long, strings.Repeat("n", 30_000), "y")
	}
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"gzip bomb":       {gz(t, make([]byte, 16<<20)), "times as long"},
		"zip bomb":        {zipped(t, "a", strings.Repeat("0", 16<<20)), "times as long"},
		"cut gzip":        {gz(t, []byte(strings.Repeat("abc", 100)))[:20], "cannot be unpacked"},
		"gzip with a lie": {append(gz(t, []byte("abc"))[:20], 9, 9, 9, 9, 9, 9, 9), "cannot be unpacked"},
		"cut zip":         {good[:len(good)-30], "not whole"},
		"zip of nothing":  {zipped(t), "0 files"},
		"too many files":  {zipped(t, many...), "more than"},
		"hidden files":    {hidden, "cannot be read"},
		"long directory":  {zipped(t, long...), "more than"},
		"flipped bit":     {flip(good, 40), "unpacked"},
	} {
		_, err := texts(bytes.NewReader(c.file))
		f, ok := bill.FaultOf(err)
		if !ok || !strings.Contains(f.Message, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	boom := errors.New("boom")
	if err := bill.Each(bytes.NewReader(good), func(string, io.Reader) error { return boom }); !errors.Is(err, boom) {
		t.Errorf("the caller's own error came as %v", err)
	}
}

func flip(file []byte, at int) []byte {
	c := slices.Clone(file)
	c[at] ^= 0xff
	return c
}

func TestLines(t *testing.T) {
	t.Parallel()
	l := bill.NewLines(strings.NewReader("\ufeffone\r\ntwo\n\nfour"))
	var got []string
	for line, ok := l.Next(); ok; line, ok = l.Next() {
		got = append(got, string(line))
	}
	if l.Err() != nil || l.Number() != 4 || !slices.Equal(got, []string{"one", "two", "", "four"}) {
		t.Errorf("%v %d %q", l.Err(), l.Number(), got)
	}
	l = bill.NewLines(strings.NewReader("a\n" + strings.Repeat("x", bill.MaxLine+1) + "\nb\n"))
	for range 2 {
		l.Next()
	}
	if _, ok := bill.FaultOf(l.Err()); !ok || l.Number() != 2 {
		t.Errorf("a line without an end: %v", l.Err())
	}
}

func TestColumns(t *testing.T) {
	t.Parallel()
	c, err := bill.NewColumns([]string{"`b", " a\t", "x"}, "a", "b")
	if err != nil || c.At("a") != 1 || c.At("b") != 0 || c.At("z") != -1 || c.Any("z", "x") != 2 || c.Width() != 3 {
		t.Errorf("%v %+v", err, c)
	}
	for name, names := range map[string][]string{"missing": {"b"}, "twice": {"a", "a"}, "wide": make([]string, 65)} {
		if _, err := bill.NewColumns(names, "a"); err == nil {
			t.Errorf("%s: no fault", name)
		}
	}
}

func TestMoney(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]evcs.Money{"1": 100, "1.2": 120, "-0.12": -12, "+0.12": 12, "0.60000": 60, " 7.00\t": 700, "0.00": 0} {
		if got, err := bill.Money(text); err != nil || got != want {
			t.Errorf("%q is %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "1.234", "0.00001", "1e3", "1,000.00", "--1", "+-1", "1.", ".5", "92233720368547758.08", "100000000000.01", "NaN", "１.00", "0x10"} {
		if got, err := bill.Money(text); err == nil {
			t.Errorf("%q was read as %s", text, got)
		}
	}
	if got, err := bill.Optional(" \t"); err != nil || got != 0 {
		t.Errorf("nothing is %s, %v", got, err)
	}
}

func TestMoment(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("x", 8*3600)
	got, err := bill.Moment("2026-02-09 23:59:59", zone)
	if want := time.Date(2026, 2, 9, 15, 59, 59, 0, time.UTC); err != nil || !got.Equal(want) {
		t.Errorf("%v %v", got, err)
	}
	for _, text := range []string{"", "2026-02-30 00:00:00", "2026-13-01 00:00:00", "2026-02-09T00:00:00", "2026-02-09 24:00:00", "2026-02-09 00:00:60", "2026/02/09 00:00:00", "2026-02-09 0a:00:00"} {
		if got, err := bill.Moment(text, zone); err == nil {
			t.Errorf("%q was read as %v", text, got)
		}
	}
}

func TestCount(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{"0": 0, "20": 20, "20.0": 20} {
		if got, err := bill.Count(text); err != nil || got != want {
			t.Errorf("%q is %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "-1", "1.5", "1234567890", "x"} {
		if got, err := bill.Count(text); err == nil {
			t.Errorf("%q was read as %d", text, got)
		}
	}
}

func FuzzEach(f *testing.F) {
	f.Add([]byte("a,b\n"))
	f.Add(gz(f, []byte("a,b\n")))
	f.Add(zipped(f, "a", "b"))
	f.Fuzz(func(t *testing.T, file []byte) {
		err := bill.Each(bytes.NewReader(file), func(_ string, text io.Reader) error {
			_, err := io.Copy(io.Discard, text)
			return err
		})
		if _, ok := bill.FaultOf(err); err != nil && !ok {
			t.Fatalf("an error that is no fault of the file: %v", err)
		}
	})
}
