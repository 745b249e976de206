package charging

import "encoding/json"

// number is a decimal text as a JSON number.
func number(v interface{ String() string }) json.RawMessage { return json.RawMessage(v.String()) }
