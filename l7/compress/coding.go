package compress

// Coding is a content coding that Weir can apply. The zero value is Identity.
type Coding uint8

// The codings.
const (
	Identity Coding = iota // as it is
	Gzip                   // RFC 1952
	Brotli                 // RFC 7932
	Zstd                   // RFC 8878, with a window within RFC 9659
	DCB                    // Brotli with a dictionary, RFC 9842
	DCZ                    // Zstd with a dictionary, RFC 9842
	numCodings
)

// NumCodings is how many there are, Identity included, for arrays by coding.
const NumCodings = int(numCodings)

// Codings are all but Identity, for who prepares something for each.
var Codings = [...]Coding{Gzip, Brotli, Zstd, DCB, DCZ}

var names = [numCodings]string{"identity", "gzip", "br", "zstd", "dcb", "dcz"}

// String returns the name in Accept-Encoding and Content-Encoding.
func (c Coding) String() string {
	if c < numCodings {
		return names[c]
	}
	return "coding(?)"
}

// Base returns the coding without its dictionary.
func (c Coding) Base() Coding {
	switch c {
	case DCB:
		return Brotli
	case DCZ:
		return Zstd
	}
	return c
}

// codingNamed returns the coding of a name, Identity for one that is not known.
func codingNamed(name string) Coding {
	for c := Identity + 1; c < numCodings; c++ {
		if names[c] == name {
			return c
		}
	}
	return Identity
}
