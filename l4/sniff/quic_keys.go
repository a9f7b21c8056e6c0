package sniff

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
)

// The salts that everyone knows: RFC 9001 section 5.2, RFC 9369 section 3.3.1.
const (
	quicSaltV1 = "\x38\x76\x2c\xf7\xf5\x59\x34\xb3\x4d\x17\x9a\xe6\xa4\xc8\x0c\xad\xcc\xbb\x7f\x0a"
	quicSaltV2 = "\x0d\xed\xe3\xde\xf7\x00\xa6\xdb\x81\x93\x81\xbe\x6e\x26\x9d\xcb\xf9\xbd\x2e\xd9"
)

const (
	quicSecretLen = 32
	quicKeyLen    = 16
	quicIVLen     = 12
)

// quicKeys read what the client of a connection sends in Initial packets.
type quicKeys struct {
	aead       cipher.AEAD
	protection cipher.Block // of headers
	iv         [quicIVLen]byte
}

// newQUICKeys derives the keys from the first ID that the client gave the server.
func newQUICKeys(version uint32, dcid []byte) (*quicKeys, error) {
	salt, prefix := quicSaltV1, "quic "
	if version == quicV2 {
		salt, prefix = quicSaltV2, "quicv2 "
	}
	initial, err := hkdf.Extract(sha256.New, dcid, []byte(salt))
	if err != nil {
		return nil, err
	}
	secret, err := expandLabel(initial, "client in", quicSecretLen)
	if err != nil {
		return nil, err
	}
	key, err := expandLabel(secret, prefix+"key", quicKeyLen)
	if err != nil {
		return nil, err
	}
	iv, err := expandLabel(secret, prefix+"iv", quicIVLen)
	if err != nil {
		return nil, err
	}
	hp, err := expandLabel(secret, prefix+"hp", quicKeyLen)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	k := &quicKeys{}
	copy(k.iv[:], iv)
	if k.protection, err = aes.NewCipher(hp); err != nil {
		return nil, err
	}
	k.aead, err = cipher.NewGCM(block)
	return k, err
}

// expandLabel is HKDF-Expand-Label with an empty context (RFC 8446 section 7.1).
func expandLabel(secret []byte, label string, n int) ([]byte, error) {
	label = "tls13 " + label
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(info, byte(len(label)))
	info = append(info, label...)
	return hkdf.Expand(sha256.New, secret, string(append(info, 0)), n)
}
