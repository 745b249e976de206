package evcs

// Sort is one field to order by, under the contract's name.
type Sort struct {
	Field string
	Desc  bool
}

// PageRequest asks for a part of a list: by page number, or, when Keyset is
// set, by the place after a cursor. Size is 1 to 1001.
type PageRequest struct {
	Page int // from 1
	Size int
	Sort []Sort
	// Keyset asks for the cursor form: no total is counted, After says where to
	// go on (nil at the beginning).
	Keyset bool
	After  *PlaceAfter
	// NoTotal leaves Total at -1 in the page form.
	NoTotal bool
}

// PlaceAfter is the last row of the page before: the values of its sort fields
// and its id.
type PlaceAfter struct {
	Values []string
	ID     int64
}

// Page is a part of a list. Total is -1 when it was not counted; Next is the
// place to go on from, nil at the end.
type Page[T any] struct {
	Records []T
	Total   int64
	Next    *PlaceAfter
}
