package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/client"
)

var logFilters = []filter{
	{"service", "serviceName", "part of the daemon"},
	{"level", "level", "DEBUG, INFO, WARN or ERROR, and above"},
	{"keyword", "keyword", "message or attribute contains"},
}

func newLogGroup(e *env) *cobra.Command {
	return group(
		"log", "The log of the server: search it, or follow it",
		newLogTail(e),
		newList(e, listSpec[api.LogLine]{
			use: "search", short: "Search the log of the last hour, or of --from and --to",
			columns: []column{
				{"time", "TIME", "时间", nil},
				{"level", "LEVEL", "级别", nil},
				{"serviceName", "PART", "服务", nil},
				{"message", "MESSAGE", "消息", nil},
				{"traceId", "TRACE", "追踪号", nil},
				{"attributes", "ATTRIBUTES", "属性", nil},
			},
			filters: append(append([]filter{{"trace", "traceId", "trace id"}}, logFilters...), timeFilters...),
			fetch: func(c *client.Client) func(context.Context, client.Query) (api.Page[api.LogLine], error) {
				return c.Logs.Search
			},
		}),
	)
}

// tailOptions is which lines are shown, and whether to stay.
type tailOptions struct {
	lines    int
	follow   bool
	interval time.Duration
	query    client.Query
}

const (
	mostLines     = 1000
	leastInterval = 200 * time.Millisecond
)

func newLogTail(e *env) *cobra.Command {
	var opts tailOptions
	values := make([]string, len(logFilters))
	c := verb("tail", "Show the newest lines of the log; -f stays and shows what is added", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		if opts.lines < 1 || opts.lines > mostLines {
			return usage("--lines %d: want 1 to %d", opts.lines, mostLines)
		}
		if opts.interval < leastInterval {
			return usage("--interval %s: want %s or more", opts.interval, leastInterval)
		}
		opts.query = client.Query{}
		for i, f := range logFilters {
			opts.query = opts.query.With(f.param, values[i])
		}
		return logTail(ctx, e, opts)
	})
	for i, f := range logFilters {
		c.Flags().StringVar(&values[i], f.flag, "", f.usage)
	}
	c.Flags().IntVarP(&opts.lines, "lines", "n", 100, "how many of the newest lines, 1 to 1000")
	c.Flags().BoolVarP(&opts.follow, "follow", "f", false, "stay and show what is added; none is missed")
	c.Flags().DurationVar(&opts.interval, "interval", 2*time.Second, "how often to look with --follow")
	return c
}

// logTail shows the newest lines and, following, goes on from the last one. A
// server that is away for a while is asked again.
func logTail(ctx context.Context, e *env, opts tailOptions) error {
	form, err := e.format()
	if err != nil {
		return err
	}
	if form == formatCSV {
		return usage("a log cannot be followed as csv: take tsv or json")
	}
	c, err := e.client()
	if err != nil {
		return err
	}
	query := opts.query.With("lines", strconv.Itoa(opts.lines))
	for {
		lines, err := tailOnce(ctx, e, c, query)
		if err != nil && (!opts.follow || !passing(err)) {
			return err
		}
		if err != nil {
			e.note(e.say("Connection lost, trying again: %v", "连接中断, 正在重连: %v"), err)
		}
		last, err := e.logLines(ctx, form, lines)
		if err != nil {
			return err
		}
		if last > 0 {
			query = opts.query.With("afterId", strconv.FormatInt(last, 10)).With("lines", strconv.Itoa(mostLines))
		}
		switch {
		case !opts.follow:
			return nil
		case len(lines) == mostLines: // there may be more
		default:
			if err := pause(ctx, opts.interval); err != nil {
				return err
			}
		}
	}
}

func tailOnce(ctx context.Context, e *env, c *client.Client, q client.Query) ([]string, error) {
	ctx, cancel := e.deadline(ctx, 0)
	defer cancel()
	return c.Logs.Tail(ctx, q)
}

// passing reports whether a failure may be over by itself.
func passing(err error) bool {
	return exitCode(err) == exitUnavailable && !errors.Is(err, context.Canceled)
}

// pause waits, unless the context ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// logLines writes lines and returns the id of the last one.
func (e *env) logLines(ctx context.Context, form string, lines []string) (int64, error) {
	var last int64
	for _, line := range lines {
		one := parseRow([]byte(line))
		if id, err := strconv.ParseInt(one.text("logId"), 10, 64); err == nil {
			last = id
		}
		if err := e.logLine(ctx, form, line, one); err != nil {
			return last, err
		}
	}
	return last, nil
}

func (e *env) logLine(ctx context.Context, form, line string, one row) error {
	switch {
	case e.globals.jq != "" || e.globals.template != "" || form == formatYAML:
		return e.structured(ctx, form, []byte(line))
	case form == formatJSON:
		_, err := fmt.Fprintf(e.Out, "%s\n", flat(line))
		return err
	}
	words := []string{one.text("time"), one.text("level"), one.text("msg")}
	for _, name := range one.names {
		if name != "time" && name != "level" && name != "msg" && name != "logId" {
			words = append(words, name+"="+attribute(one, name))
		}
	}
	for i := range words {
		words[i] = flat(words[i])
	}
	sep := "  "
	if form == formatTSV {
		sep = "\t"
	}
	_, err := fmt.Fprintln(e.Out, strings.Join(words, sep))
	return err
}

// attribute is a value of a log line, quoted where it has spaces.
func attribute(one row, name string) string {
	text := one.text(name)
	if strings.ContainsAny(text, " \t") && one.quoted(name) {
		quoted, _ := json.Marshal(text) // a string always marshals
		return string(quoted)
	}
	return text
}
