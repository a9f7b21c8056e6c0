package compress

import "weir/l7/message"

// Drops reports whether a field of the response, or of its trailers, is not true any
// more once the body is encoded. Ranges are counted in the body that the server has,
// and digests (RFC 9530, RFC 3230, RFC 1864) are of the octets that it sent: a client
// would take the encoded ones for forged. Weir does not make new ones, since they
// would have to come before the body they are of.
func Drops(f *message.Field) bool {
	switch f.Known {
	case message.ContentLength:
		return true
	case message.ContentEncoding:
		return true // says identity, see Judge
	case message.Unknown:
	default:
		return false
	}
	switch len(f.Name) {
	case len("digest"):
		return message.EqualFold(f.Name, "digest")
	case len("repr-digest"): // and as long as this is content-md5
		return message.EqualFold(f.Name, "repr-digest") || message.EqualFold(f.Name, "content-md5")
	case len("accept-ranges"):
		return message.EqualFold(f.Name, "accept-ranges")
	case len("content-digest"):
		return message.EqualFold(f.Name, "content-digest")
	}
	return false
}

// DropsTrailer is Drops for the name of a trailer field. There it is too late to make an
// entity tag weak: it goes.
func DropsTrailer(name []byte) bool {
	f := message.Field{Name: name, Known: message.Lookup(name)}
	return f.Known == message.ETag || Drops(&f)
}

// VariesBy reports whether the Vary fields already say that the response depends on a
// field, whose name is in lower case.
func VariesBy(fields []message.Field, name string) bool {
	for i := range fields {
		if f := &fields[i]; f.Known == message.Vary &&
			(message.HasToken(f.Value, name) || message.HasToken(f.Value, "*")) {
			return true
		}
	}
	return false
}
