package backend

import (
	"crypto/sha1" //nolint:gosec // the protocol's
	"crypto/sha256"
)

// The authentication plugins of MySQL that a check knows.
const (
	myNative        = "mysql_native_password"
	myCachingSHA2   = "caching_sha2_password"
	myClearPassword = "mysql_clear_password"
)

// mySHA2Fast is what caching_sha2_password says when it still knows the password;
// else it wants it whole.
const mySHA2Fast = 3

// myProof shows the server that the client knows the password without telling it. ok
// is false for a plugin that has no such proof. Without a password it is empty.
func myProof(plugin, password string, nonce []byte) (proof []byte, ok bool) {
	switch plugin {
	case myNative:
		if password == "" {
			return nil, true
		}
		// SHA1(password) XOR SHA1(nonce, SHA1(SHA1(password)))
		once := sha1.Sum([]byte(password))                                   //nolint:gosec // the protocol's
		twice := sha1.Sum(once[:])                                           //nolint:gosec // the protocol's
		mask := sha1.Sum(append(append([]byte(nil), nonce...), twice[:]...)) //nolint:gosec // the protocol's
		return xor(once[:], mask[:]), true
	case myCachingSHA2:
		if password == "" {
			return nil, true
		}
		// SHA256(password) XOR SHA256(SHA256(SHA256(password)), nonce)
		once := sha256.Sum256([]byte(password))
		twice := sha256.Sum256(once[:])
		mask := sha256.Sum256(append(twice[:], nonce...))
		return xor(once[:], mask[:]), true
	}
	return nil, false
}

func xor(a, b []byte) []byte {
	for i := range a {
		a[i] ^= b[i]
	}
	return a
}
