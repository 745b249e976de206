package judge

import (
	"encoding/json"
	"fmt"
	"os"
)

// Recording names the environment variable with the file to which every judged
// exchange is appended, a line of JSON each, for validators of other languages.
const Recording = "EVCS_TEST_RECORD"

// record appends an exchange to the file of Recording; without one it does
// nothing. Processes may share the file: a line is one write.
func record(e Exchange, m Manner) error {
	file := os.Getenv(Recording)
	if file == "" {
		return nil
	}
	line, err := json.Marshal(struct {
		Exchange
		Exact bool `json:"exact"`
	}{e, m == Exact})
	if err != nil {
		return fmt.Errorf("word an exchange: %w", err)
	}
	out, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("record an exchange: %w", err)
	}
	if _, err := out.Write(append(line, '\n')); err != nil {
		out.Close()
		return fmt.Errorf("record an exchange: %w", err)
	}
	return out.Close()
}
