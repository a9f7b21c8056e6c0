package load

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
)

// scram is the client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), without
// channel binding. Passwords are taken as they are, without SASLprep.
type scram struct {
	password string
	nonce    string
	server   []byte // what the server must prove
}

const (
	scramName   = "SCRAM-SHA-256"
	scramHeader = "n,,"
	// maxScramRounds bounds the work that a server may ask for.
	maxScramRounds = 1 << 20
)

func newScram(password string) *scram { return &scram{password: password, nonce: rand.Text()} }

// first is the client-first-message. PostgreSQL ignores the name in it.
func (s *scram) first() string { return scramHeader + s.bare() }

func (s *scram) bare() string { return "n=,r=" + s.nonce }

// final answers the server-first-message with the proof.
func (s *scram) final(challenge string) (string, error) {
	nonce, salt, rounds, err := s.parse(challenge)
	if err != nil {
		return "", err
	}
	salted, err := pbkdf2.Key(sha256.New, s.password, salt, rounds, sha256.Size)
	if err != nil {
		return "", err
	}
	bare := "c=" + base64.StdEncoding.EncodeToString([]byte(scramHeader)) + ",r=" + nonce
	message := s.bare() + "," + challenge + "," + bare
	key := mac(salted, "Client Key")
	stored := sha256.Sum256(key)
	proof := mac(stored[:], message)
	for i := range proof {
		proof[i] ^= key[i]
	}
	s.server = mac(mac(salted, "Server Key"), message)
	return bare + ",p=" + base64.StdEncoding.EncodeToString(proof), nil
}

func (s *scram) parse(challenge string) (nonce string, salt []byte, rounds int, err error) {
	for part := range strings.SplitSeq(challenge, ",") {
		name, value, _ := strings.Cut(part, "=")
		switch name {
		case "r":
			nonce = value
		case "s":
			salt, err = base64.StdEncoding.DecodeString(value)
		case "i":
			rounds, err = strconv.Atoi(value)
		}
		if err != nil {
			return "", nil, 0, wrong(failProtocol, "SCRAM challenge %q", challenge)
		}
	}
	if !strings.HasPrefix(nonce, s.nonce) || len(salt) == 0 || rounds < 1 || rounds > maxScramRounds {
		return "", nil, 0, wrong(failProtocol, "SCRAM challenge %q", challenge)
	}
	return nonce, salt, rounds, nil
}

// verify checks the server-final-message: the server knew the password too.
func (s *scram) verify(final string) error {
	proof, ok := strings.CutPrefix(final, "v=")
	got, err := base64.StdEncoding.DecodeString(proof)
	if !ok || err != nil || s.server == nil || !hmac.Equal(got, s.server) {
		return wrong(failData, "the server's proof is wrong")
	}
	return nil
}

func mac(key []byte, message string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(message))
	return h.Sum(nil)
}
