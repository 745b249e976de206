package httpapi

import (
	"fmt"
	"reflect"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gorilla/mux"
)

// hiddenPath is a path parameter in an embedded struct whose type is not
// exported. huma does not look into such, so they are documented and filled
// here.
type hiddenPath struct {
	name  string
	index []int
	t     reflect.Type
}

// hiddenPaths finds them. A query or header parameter there would silently stay
// empty, which is a mistake of the declaration and stops the start.
func hiddenPaths(t reflect.Type, at []int, within bool) []hiddenPath {
	var found []hiddenPath
	for f := range t.Fields() {
		index := append(append([]int(nil), at...), f.Index...)
		if f.Anonymous && f.Type.Kind() == reflect.Struct {
			found = append(found, hiddenPaths(f.Type, index, within || !f.IsExported())...)
			continue
		}
		if !within {
			continue
		}
		if f.Tag.Get("query") != "" || f.Tag.Get("header") != "" || f.Name == "Body" {
			panic(fmt.Sprintf("%s.%s: only path parameters may be in an embedded type that is not exported", t, f.Name)) //nolint:forbidigo // a broken declaration, at start-up
		}
		if name := f.Tag.Get("path"); name != "" {
			found = append(found, hiddenPath{name, index, f.Type})
		}
	}
	return found
}

func (s *Server) hiddenParams(paths []hiddenPath) []*huma.Param {
	params := make([]*huma.Param, 0, len(paths))
	for _, p := range paths {
		schema := s.api.OpenAPI().Components.Schemas.Schema(p.t, true, "")
		params = append(params, &huma.Param{Name: p.name, In: "path", Required: true, Schema: schema})
	}
	return params
}

// fillHidden sets the parameters from the path; readPath has checked them.
func (x *exchange) fillHidden(in reflect.Value) {
	for _, p := range x.op.hidden {
		field := in.FieldByIndex(p.index)
		text := mux.Vars(x.r)[p.name]
		switch field.Kind() {
		case reflect.String:
			field.SetString(text)
		default:
			if n, err := strconv.ParseInt(text, 10, 64); err == nil && field.CanInt() {
				field.SetInt(n)
			}
		}
	}
}
