package conf

import (
	"os"
	"slices"
	"strconv"
	"strings"
)

// connectionFields belong to the framing of a message or to one connection.
var connectionFields = []string{
	"connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
	"http2-settings", "expect",
}

// identityFields are written by Weir: what a server believes of the client.
var identityFields = []string{
	"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-request-id", "forwarded",
}

// requestField is the name of a request field that a route may change.
func requestField() kind[string] {
	return fieldName(func(lower string) error {
		switch {
		case lower == "host":
			return bad("Host is changed by rewrite_host")
		case slices.Contains(identityFields, lower):
			return bad("%q tells servers who asks and is written by Weir itself", lower)
		}
		return nil
	})
}

// responseField is the name of a response field that a route may change.
func responseField() kind[string] { return fieldName(func(string) error { return nil }) }

func fieldName(check func(lower string) error) kind[string] {
	return word("field name", "field names", func(s string) (string, error) {
		lower := strings.ToLower(s)
		switch {
		case !token.MatchString(s) || len(s) > 256:
			return "", bad("%q is not a field name (RFC 9110 section 5.1)", s)
		case slices.Contains(connectionFields, lower):
			return "", bad("%q belongs to the framing of the message or to the connection and cannot be changed", s)
		}
		return s, check(lower)
	})
}

// redirectStatus is a status that sends a client elsewhere (RFC 9110 section 15.4).
func redirectStatus() kind[int] {
	known := []int{301, 302, 303, 307, 308}
	return kind[int]{
		typ: "status", limits: "301, 302, 303, 307, 308",
		parse: func(_ *binder, n *node) (int, error) {
			v, err := integer(n)
			if err == nil && !slices.Contains(known, v) {
				err = bad("%s is not one of 301, 302, 303, 307, 308", strconv.Itoa(v))
			}
			return v, err
		},
		show: func(v int) any { return v },
	}
}

// maxRespondBody bounds a body that stands in the file.
const maxRespondBody = 64 << 10

// bodyText is the body of a fixed response.
func bodyText() kind[string] {
	return word("string", "strings", func(s string) (string, error) {
		if len(s) > maxRespondBody {
			return "", bad("%d bytes are more than the allowed %d; put them into a file and use files",
				len(s), maxRespondBody)
		}
		return s, nil
	})
}

// existingDir is the path of a directory that is there.
func existingDir() kind[string] {
	return path("directory", func(p string) error {
		st, err := os.Stat(p)
		switch {
		case err != nil:
			return bad("cannot find directory %q: %v", p, cause(err))
		case !st.IsDir():
			return bad("%q is not a directory", p)
		}
		return nil
	})
}

// fileName is the name of a file without a directory.
func fileName() kind[string] {
	return word("file name", "file names", func(s string) (string, error) {
		if s == "" || s == "." || s == ".." || strings.ContainsAny(s, "/\x00") || len(s) > 255 {
			return "", bad("%q is not the name of a file: expected 1 to 255 bytes without \"/\"", s)
		}
		return s, nil
	})
}
