package logstore_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/health"
	"github.com/evcs/evcs/internal/logstore"
)

func open(t *testing.T, dir string, bytes int64, age time.Duration) *logstore.Store {
	t.Helper()
	s, err := logstore.Open(logstore.Config{Dir: dir, MaxBytes: bytes, MaxAge: age, Clock: evcs.SystemClock{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func logOf(s *logstore.Store) *slog.Logger {
	return slog.New(logstore.Tee(s, slog.DiscardHandler, slog.LevelInfo))
}

func find(t *testing.T, s *logstore.Store, q health.LogQuery, place health.LogPlace) health.LogsFound {
	t.Helper()
	found, err := s.Find(t.Context(), q, place)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

var anything = health.LogQuery{AnyLevel: true}

func messages(found health.LogsFound) string {
	words := make([]string, len(found.Lines))
	for i, l := range found.Lines {
		words[i] = l.Message
	}
	return strings.Join(words, ",")
}

func TestFind(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), logstore.MinBytes, time.Hour)
	log := logOf(s)
	ctx := evcs.WithTrace(evcs.WithActor(t.Context(), &evcs.Actor{Tenant: 7, User: 9}), "t-1")
	begun := time.Now().Add(-time.Millisecond)
	log.With(slog.String("service", "evcs-order"), slog.String("logger", "charging")).
		WarnContext(ctx, "One", slog.Int64("charger_id", 10001), slog.Int64("order_id", 5), slog.Group("at", slog.String("place", "Yard"), slog.Int("n", 42)))
	log.Info("two")
	log.Error("three", slog.Any("error", errors.New("Disk Full")))
	log.Debug("below the level")
	for name, c := range map[string]struct {
		q     health.LogQuery
		place health.LogPlace
		want  string
	}{
		"all, newest first":    {anything, health.LogPlace{N: 10}, "three,two,One"},
		"oldest first":         {anything, health.LogPlace{N: 10, OldestFirst: true}, "One,two,three"},
		"a part":               {anything, health.LogPlace{N: 1, Skip: 1}, "two"},
		"after one":            {anything, health.LogPlace{N: 10, After: 2}, "One"},
		"after one, on":        {anything, health.LogPlace{N: 10, After: 2, OldestFirst: true}, "three"},
		"level":                {health.LogQuery{Level: slog.LevelWarn}, health.LogPlace{N: 10}, "three,One"},
		"service":              {health.LogQuery{AnyLevel: true, Service: "evcs-order"}, health.LogPlace{N: 10}, "One"},
		"trace":                {health.LogQuery{AnyLevel: true, Trace: "t-1"}, health.LogPlace{N: 10}, "One"},
		"keyword in message":   {health.LogQuery{AnyLevel: true, Keyword: "tW"}, health.LogPlace{N: 10}, "two"},
		"keyword in value":     {health.LogQuery{AnyLevel: true, Keyword: "disk full"}, health.LogPlace{N: 10}, "three"},
		"keyword in group":     {health.LogQuery{AnyLevel: true, Keyword: "yard"}, health.LogPlace{N: 10}, "One"},
		"keyword is a number":  {health.LogQuery{AnyLevel: true, Keyword: "42"}, health.LogPlace{N: 10}, "One"},
		"no keyword in a name": {health.LogQuery{AnyLevel: true, Keyword: "place"}, health.LogPlace{N: 10}, ""},
		"before all":           {health.LogQuery{AnyLevel: true, To: begun}, health.LogPlace{N: 10}, ""},
		"since the beginning":  {health.LogQuery{AnyLevel: true, From: begun}, health.LogPlace{N: 10}, "three,two,One"},
		"of a tenant":          {health.LogQuery{AnyLevel: true, May: func(t evcs.TenantID) bool { return t == 7 }}, health.LogPlace{N: 10}, "One"},
		"of another tenant":    {health.LogQuery{AnyLevel: true, May: func(t evcs.TenantID) bool { return t == 8 }}, health.LogPlace{N: 10}, ""},
	} {
		if got := messages(find(t, s, c.q, c.place)); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	l := find(t, s, health.LogQuery{AnyLevel: true, Trace: "t-1"}, health.LogPlace{N: 1}).Lines[0]
	if l.ID != 1 || l.Level != slog.LevelWarn || l.Service != "evcs-order" || l.Logger != "charging" || l.Tenant != 7 || l.User != 9 || l.Charger != 10001 || l.Order != 5 ||
		string(l.Attributes) != `{"at":{"n":42,"place":"Yard"}}` || !strings.HasPrefix(l.Line, `{"logId":1,"time":`) {
		t.Errorf("%+v", l)
	}
}

func TestTotalIsCapped(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), 64<<20, time.Hour)
	log := logOf(s)
	for range health.LogTotalCap {
		log.Info("x")
	}
	if f := find(t, s, anything, health.LogPlace{N: 10, Count: true}); f.Total != health.LogTotalCap || f.Capped || len(f.Lines) != 10 {
		t.Errorf("%d lines, capped %v", f.Total, f.Capped)
	}
	log.Info("x")
	if f := find(t, s, anything, health.LogPlace{N: 10, Count: true}); f.Total != health.LogTotalCap || !f.Capped {
		t.Errorf("one more: %d lines, capped %v", f.Total, f.Capped)
	}
}

func TestBoundedInBytesOldestDroppedFirst(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, logstore.MinBytes, time.Hour)
	log := logOf(s)
	filler := strings.Repeat("f", 1000)
	const lines = 4000 // four times what fits
	for i := range lines {
		log.Info(fmt.Sprint("line ", i), slog.String("filler", filler)) //nolint:sloglint // numbered on purpose
		if s.Bytes() > logstore.MinBytes {
			t.Fatalf("%d bytes are kept", s.Bytes())
		}
	}
	var onDisk int64
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Ext(e.Name()) == ".log" {
			onDisk += info.Size()
		}
	}
	if onDisk != s.Bytes() || onDisk < logstore.MinBytes*8/10 {
		t.Errorf("%d bytes on disk, %d counted", onDisk, s.Bytes())
	}
	f := find(t, s, anything, health.LogPlace{N: 5000})
	if f.Lines[0].Message != fmt.Sprint("line ", lines-1) {
		t.Errorf("the newest is %s", f.Lines[0].Message)
	}
	for i, l := range f.Lines {
		if l.ID != f.Lines[0].ID-int64(i) {
			t.Fatalf("a line is missing in the middle: %d after %d", l.ID, f.Lines[0].ID-int64(i)+1)
		}
	}
}

func TestBoundedInAge(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, dir, logstore.MinBytes, 8*time.Hour)
		log := logOf(s)
		for i := range 20 {
			log.Info(fmt.Sprint("hour ", i)) //nolint:sloglint // numbered on purpose
			time.Sleep(time.Hour)
		}
		f := find(t, s, anything, health.LogPlace{N: 100, OldestFirst: true})
		if n := len(f.Lines); n < 8 || n > 11 || f.Lines[0].Message == "hour 0" {
			t.Errorf("%d lines, the oldest %s", n, messages(f))
		}
	})
}

func TestSurvivesRestartAndATornLine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := open(t, dir, logstore.MinBytes, time.Hour)
	logOf(first).Info("one")
	logOf(first).Info("two")
	// Nothing is closed: the process is gone in the middle of a line.
	path := filepath.Join(dir, fmt.Sprintf("%016d.log", 1))
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(`{"logId":3,"time":"2026`); err != nil {
		t.Fatal(err)
	}
	file.Close()
	second := open(t, dir, logstore.MinBytes, time.Hour)
	logOf(second).Info("three")
	f := find(t, second, anything, health.LogPlace{N: 10, OldestFirst: true})
	if messages(f) != "one,two,three" || f.Lines[2].ID != 3 {
		t.Errorf("%s, the last is %d", messages(f), f.Lines[len(f.Lines)-1].ID)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	third := open(t, dir, logstore.MinBytes, time.Hour)
	if got := messages(find(t, third, anything, health.LogPlace{N: 10, OldestFirst: true})); got != "one,two,three" {
		t.Errorf("after an orderly end: %s", got)
	}
	if err := third.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCheckSaysWhenLinesAreLost(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "logs")
	s := open(t, dir, logstore.MinBytes, time.Hour)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	logOf(s).Info("lost")
	if err := s.Check(t.Context()); err == nil {
		t.Error("the directory is gone and nobody noticed")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	logOf(s).Info("kept")
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("it is back: %v", err)
	}
}

func TestManyWritersAndReaders(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), logstore.MinBytes, time.Hour)
	log := logOf(s)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 500 {
				log.Info("x", slog.String("filler", strings.Repeat("y", 800)))
			}
		})
		all.Go(func() {
			for range 20 {
				if _, err := s.Find(t.Context(), anything, health.LogPlace{N: 50}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if f := find(t, s, anything, health.LogPlace{N: 1}); f.Lines[0].ID != 2000 {
		t.Errorf("the last line is %d", f.Lines[0].ID)
	}
}

// What must not be read in a log, and what must.
func TestMasking(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), logstore.MinBytes, time.Hour)
	var out strings.Builder
	log := slog.New(logstore.Tee(s, slog.NewTextHandler(&out, nil), slog.LevelInfo))
	secrets := []string{
		"hunter2hunter2", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "evcs_9f2c6a10b7d84e51", "13812345678", "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o",
		"dXNlcjpwYXNzd29yZA==", "3045022100ab", "2088102177846880",
	}
	log.With(slog.String("password", secrets[0])).Error("refused "+secrets[1], //nolint:sloglint // what must not be done is tried
		slog.String("api_key", secrets[2]), slog.String("contact", "call "+secrets[3]), slog.Int64("phone", 13812345678),
		slog.Any("error", errors.New(`post: {"openid":"`+secrets[4]+`","sign":"`+secrets[6]+`"}`)),
		slog.Group("request", slog.String("header", "Basic "+secrets[5]), slog.String("signature", secrets[6]), slog.String("url", "postgres://u:"+secrets[0]+"@h/db")),
		slog.Any("body", map[string]any{"token": secrets[1], "buyer_id": secrets[7]}), slog.String("note", "signature="+secrets[6]+"&secret="+secrets[0]),
		slog.String("order_no", "ORD-20260210000018"), slog.Int64("at", 1760000000000), slog.String("device", "CP-13900000001-A"))
	line := find(t, s, anything, health.LogPlace{N: 1}).Lines[0].Line
	for _, text := range []string{line, out.String()} {
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%s stands in %s", secret, text)
			}
		}
		for _, wanted := range []string{"refused", "ORD-20260210000018", "1760000000000", "138****5678", "postgres://u:"} {
			if !strings.Contains(text, wanted) {
				t.Errorf("%s is missing in %s", wanted, text)
			}
		}
	}
}

func TestMinimumSize(t *testing.T) {
	t.Parallel()
	if _, err := logstore.Open(logstore.Config{Dir: t.TempDir(), MaxBytes: 10, MaxAge: time.Hour, Clock: evcs.SystemClock{}}); err == nil {
		t.Error("ten bytes were taken")
	}
}

func BenchmarkHandle(b *testing.B) {
	s, err := logstore.Open(logstore.Config{Dir: b.TempDir(), MaxBytes: 16 << 20, MaxAge: time.Hour, Clock: evcs.SystemClock{}})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	log := slog.New(logstore.Tee(s, slog.DiscardHandler, slog.LevelInfo))
	ctx := evcs.WithTrace(b.Context(), "9f2c6a10b7d84e51")
	b.ReportAllocs()
	for b.Loop() {
		log.InfoContext(ctx, "request", slog.String("method", "GET"), slog.String("path", "/api/order/17"), slog.Int("status", 404),
			slog.Duration("took", time.Millisecond), slog.String("address", "127.0.0.1"), slog.Int64("tenant_id", 1))
	}
}
