package store

import (
	"database/sql/driver"
	"fmt"
	"reflect"
	"time"
	"unsafe"

	"github.com/evcs/evcs/internal/evcs"
)

// cell is one value on its way into the database, without a box.
type cell struct {
	kind cellKind
	n    int64
	s    string
}

type cellKind uint8

const (
	cellNull cellKind = iota
	cellInt
	cellText
	cellBlob
	cellBool
)

func whole[T ~int | ~int64 | ~uint8 | ~uint16](n T) cell { return cell{kind: cellInt, n: int64(n)} }

func words[T ~string](s T) cell { return cell{kind: cellText, s: string(s)} }

func moment(t time.Time) cell { return cell{kind: cellInt, n: evcs.Millis(t)} }

func truth(b bool) cell {
	if b {
		return cell{kind: cellBool, n: 1}
	}
	return cell{kind: cellBool}
}

// blob shares the bytes: they must not change before the statement has run.
func blob(b []byte) cell {
	return cell{kind: cellBlob, s: unsafe.String(unsafe.SliceData(b), len(b))}
}

// textOf is a text that shares the bytes, as blob does.
func textOf(b []byte) cell {
	c := blob(b)
	c.kind = cellText
	return c
}

// worded is NULL for an empty text.
func worded(s string) cell {
	if s == "" {
		return cell{}
	}
	return words(s)
}

// wholeOrNull is NULL for nil.
func wholeOrNull[T ~int64](p *T) cell {
	if p == nil {
		return cell{}
	}
	return whole(int64(*p))
}

// value is the cell as database/sql takes it.
func (c cell) value() any {
	switch c.kind {
	case cellInt:
		return c.n
	case cellText:
		return c.s
	case cellBlob:
		return []byte(c.s)
	case cellBool:
		return c.n != 0
	default:
		return nil
	}
}

// cellOf converts what the store's statements are given.
func cellOf(v any) (cell, error) {
	switch x := v.(type) {
	case nil:
		return cell{}, nil
	case int64:
		return whole(x), nil
	case int:
		return whole(x), nil
	case string:
		return words(x), nil
	case bool:
		return truth(x), nil
	case []byte:
		if x == nil {
			return cell{}, nil
		}
		return blob(x), nil
	case driver.Valuer:
		plain, err := driver.DefaultParameterConverter.ConvertValue(x)
		if err != nil {
			return cell{}, fmt.Errorf("bind %T: %w", v, err)
		}
		return cellOf(plain)
	}
	r := reflect.ValueOf(v)
	switch r.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return whole(r.Int()), nil
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return whole(int64(r.Uint())), nil //nolint:gosec // at most 32 bits
	case reflect.String:
		return words(r.String()), nil
	case reflect.Bool:
		return truth(r.Bool()), nil
	case reflect.Pointer:
		if r.IsNil() {
			return cell{}, nil
		}
		return cellOf(r.Elem().Interface())
	default:
		return cell{}, fmt.Errorf("bind %T: no such kind of value", v)
	}
}
