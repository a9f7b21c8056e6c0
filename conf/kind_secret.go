package conf

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
)

// maxSecretFile bounds what a file: secret may hold.
const maxSecretFile = 64 << 10

// secret is a string, or where to find it: env:NAME or file:PATH.
func secret() kind[Secret] {
	return kind[Secret]{
		typ: "secret", secret: true,
		parse: func(b *binder, n *node) (Secret, error) {
			if n.form != formString {
				return Secret{}, bad("expected a string (secret), got %s", n.form)
			}
			s, err := b.secret(n.text)
			if err != nil {
				return Secret{}, err
			}
			if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
				return Secret{}, bad("the secret is empty or has characters other than visible ASCII")
			}
			return Secret{s}, nil
		},
		show: func(s Secret) any { return s.String() },
	}
}

// secret resolves the text of a secret. Its errors never hold the value.
func (b *binder) secret(s string) (string, error) {
	if name, ok := strings.CutPrefix(s, "env:"); ok {
		v, set := os.LookupEnv(name)
		if !set || strings.TrimSpace(v) == "" {
			return "", bad("environment variable %q is not set or empty", name)
		}
		return strings.TrimSpace(v), nil
	}
	name, ok := strings.CutPrefix(s, "file:")
	if !ok {
		return s, nil
	}
	p, err := b.path(name)
	if err != nil {
		return "", err
	}
	v, err := readSmall(p)
	if err != nil {
		return "", bad("cannot read secret file %q: %v", p, cause(err))
	}
	return strings.TrimSpace(v), nil
}

// readSmall reads a regular file of at most maxSecretFile bytes. Devices and
// pipes are refused: reading them could block or never end.
func readSmall(p string) (string, error) {
	st, err := os.Stat(p)
	if err != nil {
		return "", err
	}
	if !st.Mode().IsRegular() {
		return "", errors.New("it is not a regular file")
	}
	f, err := os.Open(p)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // only read
	v, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if err == nil && len(v) > maxSecretFile {
		err = errors.New("it is larger than 64 KiB")
	}
	return string(v), err
}

// cause strips the operation and the path from a file error, which the message
// around it has already.
func cause(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}
