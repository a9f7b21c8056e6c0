package conf

// form is what kind of TOML value a node is.
type form int

const (
	formString form = iota + 1
	formInteger
	formFloat
	formBool
	formTime
	formArray
	formTable
)

// String names the form as messages do, with its article.
func (f form) String() string {
	switch f {
	case formString:
		return "a string"
	case formInteger:
		return "an integer"
	case formFloat:
		return "a float"
	case formBool:
		return "a boolean"
	case formTime:
		return "a date or time"
	case formArray:
		return "an array"
	case formTable:
		return "a table"
	}
	return "nothing"
}

// origin is how a table or an array came to be. TOML decides by it what may
// still be added later in the file.
type origin int

const (
	byValue  origin = iota // { ... } and [ ... ]: closed for good
	byHeader               // [a.b] and [[a.b]]
	byPath                 // the a of [a.b]: a header of its own may follow
	byDots                 // the a of a.b = 1: only more dotted keys may follow
)

// node is one value of the file with its place.
type node struct {
	form   form
	at     span
	text   string // strings: decoded; other scalars: as written
	items  []*node
	keys   []*entry // in file order
	index  map[string]*entry
	origin origin
	twin   bool // a second definition, kept to be checked only
}

// entry is one key of a table.
type entry struct {
	name  string
	at    span // of the key where it first appears
	value *node
	twins []*node // values of forbidden second definitions
}

func newTable(at span, from origin) *node {
	return &node{form: formTable, at: at, origin: from}
}

// get returns the entry with this name, or nil.
func (n *node) get(name string) *entry { return n.index[name] }

// put adds a key that get does not find.
func (n *node) put(k keyPart, value *node) *entry {
	if n.index == nil {
		n.index = make(map[string]*entry)
	}
	e := &entry{name: k.name, at: k.at, value: value}
	n.index[k.name] = e
	n.keys = append(n.keys, e)
	return e
}

// keyPart is one part of a dotted key.
type keyPart struct {
	name string
	at   span
}
