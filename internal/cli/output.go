package cli

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strings"
	"text/template"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/itchyny/gojq"
	"go.yaml.in/yaml/v3"
)

// The forms of output.
const (
	formatTable = "table"
	formatTSV   = "tsv"
	formatJSON  = "json"
	formatYAML  = "yaml"
	formatCSV   = "csv"
)

// column is one column of a list: the field's name in the contract, its head
// in both languages, and how a person reads a value.
type column struct {
	name string
	en   string
	zh   string
	show func(e *env, text string) string // nil: as it is
}

// format is the form in force: what was asked for, else a table for a person
// and TSV for a pipe. Selecting implies JSON.
func (e *env) format() (string, error) {
	asked := e.globals.output
	if err := oneOf("output", asked, formatTable, formatTSV, formatJSON, formatYAML, formatCSV); err != nil {
		return "", err
	}
	if e.globals.jq != "" && e.globals.template != "" {
		return "", usage("--jq and --template do not go together")
	}
	if e.globals.jq != "" || e.globals.template != "" {
		if asked != "" && asked != formatJSON {
			return "", usage("--jq and --template select from JSON, not from %s", asked)
		}
		return formatJSON, nil
	}
	switch {
	case asked != "":
		return asked, nil
	case e.outTTY:
		return formatTable, nil
	default:
		return formatTSV, nil
	}
}

// list writes records; total is how many there are in all, -1 when unknown.
func (e *env) list(ctx context.Context, records any, columns []column, total int64) error {
	form, err := e.format()
	if err != nil {
		return err
	}
	text, err := json.Marshal(records)
	if err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	if form == formatJSON || form == formatYAML {
		return e.structured(ctx, form, text)
	}
	rows := parseRows(text)
	switch form {
	case formatCSV:
		return e.csv(columns, rows)
	case formatTSV:
		return e.tsv(columns, rows)
	default:
		return e.table(columns, rows, total)
	}
}

// object writes one thing: name and value by line for people and pipes.
func (e *env) object(ctx context.Context, thing any) error {
	form, err := e.format()
	if err != nil {
		return err
	}
	text, err := json.Marshal(thing)
	if err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	if form == formatJSON || form == formatYAML {
		return e.structured(ctx, form, text)
	}
	one := parseRow(text).flattened()
	switch form {
	case formatCSV:
		columns := make([]column, len(one.names))
		for i, name := range one.names {
			columns[i] = column{name: name}
		}
		return e.csv(columns, []row{one})
	case formatTSV:
		var out bytes.Buffer
		for _, name := range one.names {
			fmt.Fprintf(&out, "%s\t%s\n", name, flat(one.text(name)))
		}
		_, err := e.Out.Write(out.Bytes())
		return err
	default:
		return e.card(one)
	}
}

// card writes one thing for a person; what is null is left out.
func (e *env) card(one row) error {
	widest := 0
	for _, name := range one.names {
		widest = max(widest, ansi.StringWidth(name))
	}
	var out bytes.Buffer
	for _, name := range one.names {
		if len(one.list(name)) > 0 {
			continue // below, as a table
		}
		if value := one.text(name); value != "" {
			fmt.Fprintf(&out, "%s  %s\n", pad(name, widest), flat(value))
		}
	}
	if _, err := e.Out.Write(out.Bytes()); err != nil {
		return err
	}
	for _, name := range one.names {
		if err := e.sublist(name, one.list(name)); err != nil {
			return err
		}
	}
	return nil
}

// sublist writes the list inside an object as a table of its own: the fields
// that any of its rows has.
func (e *env) sublist(name string, rows []row) error {
	if len(rows) == 0 {
		return nil
	}
	var names []string
	filled := map[string]bool{}
	for i, r := range rows {
		rows[i] = r.flattened()
		for _, field := range rows[i].names {
			if !filled[field] && rows[i].text(field) != "" {
				filled[field] = true
				names = append(names, field)
			}
		}
	}
	cells := [][]string{names}
	for _, r := range rows {
		line := make([]string, len(names))
		for i, field := range names {
			line[i] = flat(r.text(field))
		}
		cells = append(cells, line)
	}
	if _, err := fmt.Fprintf(e.Out, "\n%s\n", name); err != nil {
		return err
	}
	return e.grid(cells)
}

// structured writes JSON as it came, or what --jq or --template make of it.
func (e *env) structured(ctx context.Context, form string, text []byte) error {
	switch {
	case e.globals.jq != "":
		return e.query(ctx, text)
	case e.globals.template != "":
		return e.fill(text)
	case form == formatYAML:
		return e.yaml(text)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, text, "", "  "); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	out.WriteByte('\n')
	_, err := e.Out.Write(out.Bytes())
	return err
}

// decode reads JSON keeping numbers as they are written.
func decode(text []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, fmt.Errorf("read JSON: %w", err)
	}
	return value, nil
}

func (e *env) query(ctx context.Context, text []byte) error {
	query, err := gojq.Parse(e.globals.jq)
	if err != nil {
		return usage("--jq: %v", err)
	}
	value, err := decode(text)
	if err != nil {
		return err
	}
	found := query.RunWithContext(ctx, value)
	for {
		next, more := found.Next()
		if !more {
			return nil
		}
		if err, bad := next.(error); bad {
			return usage("--jq: %v", err)
		}
		if plain, is := next.(string); is {
			fmt.Fprintln(e.Out, plain)
			continue
		}
		line, err := gojq.Marshal(next)
		if err != nil {
			return fmt.Errorf("--jq: %w", err)
		}
		fmt.Fprintf(e.Out, "%s\n", line)
	}
}

func (e *env) fill(text []byte) error {
	functions := template.FuncMap{
		"join": func(sep string, list []any) string {
			words := make([]string, len(list))
			for i, v := range list {
				words[i] = fmt.Sprint(v)
			}
			return strings.Join(words, sep)
		},
		"json": func(v any) (string, error) {
			text, err := json.Marshal(v)
			return string(text), err
		},
	}
	form, err := template.New("output").Funcs(functions).Option("missingkey=error").Parse(e.globals.template)
	if err != nil {
		return usage("--template: %v", err)
	}
	value, err := decode(text)
	if err != nil {
		return err
	}
	if err := form.Execute(e.Out, value); err != nil {
		return usage("--template: %v", err)
	}
	return nil
}

// yaml writes JSON as YAML, in the same order and with the same numbers: JSON
// is YAML, so it is parsed as such and written in block style.
func (e *env) yaml(text []byte) error {
	var node yaml.Node
	if err := yaml.Unmarshal(text, &node); err != nil {
		return fmt.Errorf("write YAML: %w", err)
	}
	blockStyle(&node)
	encoder := yaml.NewEncoder(e.Out)
	encoder.SetIndent(2)
	if err := encoder.Encode(&node); err != nil {
		return fmt.Errorf("write YAML: %w", err)
	}
	return encoder.Close()
}

func blockStyle(node *yaml.Node) {
	empty := len(node.Content) == 0
	if node.Kind == yaml.MappingNode && !empty || node.Kind == yaml.SequenceNode && !empty {
		node.Style = 0
	}
	if node.Kind == yaml.ScalarNode && node.Tag == "!!str" {
		node.Style = 0 // quoted again only where YAML needs it
	}
	for _, child := range node.Content {
		blockStyle(child)
	}
}

func (e *env) csv(columns []column, rows []row) error {
	out := csv.NewWriter(e.Out)
	line := make([]string, len(columns))
	for i, c := range columns {
		line[i] = c.name
	}
	_ = out.Write(line) // Error below reports
	for _, r := range rows {
		for i, c := range columns {
			line[i] = harmless(r, c.name)
		}
		_ = out.Write(line)
	}
	out.Flush()
	return out.Error()
}

// harmless is a cell that a spreadsheet does not take for a formula (contract
// §15.3); numbers stay numbers.
func harmless(r row, name string) string {
	text := r.text(name)
	if text != "" && strings.ContainsRune("=+-@\t", rune(text[0])) && r.quoted(name) {
		return "'" + text
	}
	return text
}

func (e *env) tsv(columns []column, rows []row) error {
	var out bytes.Buffer
	for _, r := range rows {
		for i, c := range columns {
			if i > 0 {
				out.WriteByte('\t')
			}
			out.WriteString(flat(r.text(c.name)))
		}
		out.WriteByte('\n')
	}
	_, err := e.Out.Write(out.Bytes())
	return err
}

// flat keeps a value on one line and free of terminal controls.
func flat(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, text)
}

// table writes a header and rows that fit the terminal: the last column gives
// way first.
func (e *env) table(columns []column, rows []row, total int64) error {
	if len(rows) == 0 {
		e.note("%s", e.say("Nothing found", "没有数据"))
		return nil
	}
	cells := make([][]string, 0, len(rows)+1)
	heads := make([]string, len(columns))
	for i, c := range columns {
		heads[i] = e.say(c.en, c.zh)
	}
	cells = append(cells, heads)
	for _, r := range rows {
		line := make([]string, len(columns))
		for i, c := range columns {
			line[i] = e.cell(c, r)
		}
		cells = append(cells, line)
	}
	if err := e.grid(cells); err != nil {
		return err
	}
	if total > int64(len(rows)) {
		e.note(e.say("Showing %d of %d", "显示 %d / %d"), len(rows), total)
	}
	return nil
}

func (e *env) cell(c column, r row) string {
	text := r.text(c.name)
	if text == "" {
		return "-"
	}
	if c.show != nil {
		text = c.show(e, text)
	}
	return flat(text)
}

func (e *env) grid(cells [][]string) error {
	widths := make([]int, len(cells[0]))
	for _, line := range cells {
		for i, cell := range line {
			widths[i] = max(widths[i], ansi.StringWidth(cell))
		}
	}
	narrow(widths, e.width())
	var out bytes.Buffer
	for n, line := range cells {
		for i, cell := range line {
			cell = ansi.Truncate(cell, widths[i], "…")
			if i < len(line)-1 {
				cell = pad(cell, widths[i]) + "  "
			}
			if n == 0 && e.color() {
				cell = "\x1b[1m" + cell + "\x1b[0m"
			}
			out.WriteString(cell)
		}
		out.WriteByte('\n')
	}
	_, err := e.Out.Write(out.Bytes())
	return err
}

// narrow takes width from the widest columns until the whole fits.
func narrow(widths []int, whole int) {
	const gap, least = 2, 6
	if whole <= 0 {
		return
	}
	for {
		sum, widest := gap*(len(widths)-1), 0
		for i, w := range widths {
			sum += w
			if w > widths[widest] {
				widest = i
			}
		}
		if sum <= whole || widths[widest] <= least {
			return
		}
		widths[widest]--
	}
}

func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-ansi.StringWidth(text)))
}

// row is a JSON object with its names in their order.
type row struct {
	names  []string
	values map[string]json.RawMessage
}

func parseRows(text []byte) []row {
	var raw []json.RawMessage
	if json.Unmarshal(text, &raw) != nil {
		return nil
	}
	rows := make([]row, len(raw))
	for i, one := range raw {
		rows[i] = parseRow(one)
	}
	return rows
}

func parseRow(text []byte) row {
	r := row{values: map[string]json.RawMessage{}}
	decoder := json.NewDecoder(bytes.NewReader(text))
	if open, err := decoder.Token(); err != nil || open != json.Delim('{') {
		return r
	}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return r
		}
		var value json.RawMessage
		if decoder.Decode(&value) != nil {
			return r
		}
		key, _ := name.(string)
		if _, twice := r.values[key]; !twice {
			r.names = append(r.names, key)
		}
		r.values[key] = value
	}
	return r
}

func (r row) quoted(name string) bool {
	value := r.values[name]
	return len(value) > 0 && value[0] == '"'
}

// flattened names the fields of the objects inside by their path.
func (r row) flattened() row {
	out := row{values: map[string]json.RawMessage{}}
	for _, name := range r.names {
		value := r.values[name]
		inside := row{}
		if len(value) > 0 && value[0] == '{' {
			inside = parseRow(value).flattened()
		}
		if len(inside.names) == 0 {
			out.names = append(out.names, name)
			out.values[name] = value
			continue
		}
		for _, field := range inside.names {
			out.names = append(out.names, name+"."+field)
			out.values[name+"."+field] = inside.values[field]
		}
	}
	return out
}

// list is a value that is a list of objects.
func (r row) list(name string) []row {
	value := r.values[name]
	if len(value) < 2 || value[0] != '[' || !bytes.HasPrefix(bytes.TrimSpace(value[1:]), []byte("{")) {
		return nil
	}
	return parseRows(value)
}

// text is a value as it is read: strings without quotes, null as nothing,
// plain lists with commas, everything else as JSON.
func (r row) text(name string) string {
	value := r.values[name]
	if len(value) == 0 || string(value) == "null" {
		return ""
	}
	switch value[0] {
	case '"':
		var s string
		_ = json.Unmarshal(value, &s) // it is a valid string: a decoder read it
		return s
	case '[':
		var words []string
		if json.Unmarshal(value, &words) == nil {
			return strings.Join(words, ",")
		}
	}
	return string(value)
}

// ago words a time for a person: how long it is from now.
func ago(e *env, text string) string {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return text
	}
	d := e.Now().Sub(at)
	future := d < 0
	d = d.Abs()
	var span string
	switch {
	case d < time.Minute:
		span = fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		span = fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		span = fmt.Sprintf("%dh", int(d.Hours()))
	default:
		span = fmt.Sprintf("%dd", int(d.Hours()/24))
	}
	if future {
		return fmt.Sprintf(e.say("in %s", "%s后"), span)
	}
	return fmt.Sprintf(e.say("%s ago", "%s前"), span)
}
