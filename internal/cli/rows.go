package cli

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strings"
)

// rowWriter writes a long list as it is read. JSON, YAML, TSV and CSV hold
// nothing back; a table and a selection need the whole list.
type rowWriter struct {
	e       *env
	form    string
	columns []column
	count   int
	held    []json.RawMessage
}

func (e *env) rows(form string, columns []column) *rowWriter {
	return &rowWriter{e: e, form: form, columns: columns}
}

func (w *rowWriter) holds() bool {
	return w.form == formatTable || w.e.globals.jq != "" || w.e.globals.template != ""
}

// add writes one record.
func (w *rowWriter) add(record any) error {
	text, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	w.count++
	switch {
	case w.holds():
		w.held = append(w.held, text)
		return nil
	case w.form == formatJSON:
		var out bytes.Buffer
		out.WriteString(map[bool]string{true: "[\n  ", false: ",\n  "}[w.count == 1])
		if err := json.Indent(&out, text, "  ", "  "); err != nil {
			return fmt.Errorf("write the answer: %w", err)
		}
		_, err = w.e.Out.Write(out.Bytes())
		return err
	case w.form == formatYAML:
		return w.e.yaml(enclose('[', text, ']'))
	case w.form == formatCSV:
		return w.csv(parseRow(text))
	default:
		return w.e.tsv(w.columns, []row{parseRow(text)})
	}
}

func (w *rowWriter) csv(r row) error {
	if w.count == 1 {
		return w.e.csv(w.columns, []row{r})
	}
	out := csv.NewWriter(w.e.Out)
	line := make([]string, len(w.columns))
	for i, c := range w.columns {
		line[i] = harmless(r, c.name)
	}
	_ = out.Write(line) // Error below reports
	out.Flush()
	return out.Error()
}

// end writes what follows the last record.
func (w *rowWriter) end(ctx context.Context) error {
	switch {
	case w.holds(), w.count == 0:
		if w.held == nil {
			w.held = []json.RawMessage{}
		}
		return w.e.list(ctx, w.held, w.columns, -1)
	case w.form == formatJSON:
		_, err := fmt.Fprintln(w.e.Out, "\n]")
		return err
	default:
		return nil
	}
}

// bars draws a field of every record as one line, the least lowest.
func (e *env) bars(records any, field string) error {
	text, err := json.Marshal(records)
	if err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	rows := parseRows(text)
	values := make([]int64, len(rows))
	for i, r := range rows {
		values[i] = digits(r.text(field))
	}
	if len(values) < 2 {
		return nil
	}
	_, err = fmt.Fprintf(e.Out, "\n%s\n", sparkline(values))
	return err
}

// digits is a decimal in ten-thousandths, which is the finest any figure has.
func digits(text string) int64 {
	whole, part, _ := strings.Cut(strings.TrimPrefix(text, "-"), ".")
	part = (part + "0000")[:4]
	var n int64
	for _, r := range whole + part {
		if r >= '0' && r <= '9' && n < 1<<58 {
			n = n*10 + int64(r-'0')
		}
	}
	if strings.HasPrefix(text, "-") {
		return -n
	}
	return n
}

// sparkline draws values between the least of them (or 0) and the greatest.
func sparkline(values []int64) string {
	const blocks = "▁▂▃▄▅▆▇█"
	steps := []rune(blocks)
	low, high := int64(0), int64(0)
	for _, v := range values {
		low, high = min(low, v), max(high, v)
	}
	var out strings.Builder
	for _, v := range values {
		at := int64(0)
		if high > low {
			at = (v - low) * int64(len(steps)-1) / (high - low)
		}
		out.WriteRune(steps[at])
	}
	return out.String()
}
