package backend

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// scramName is the one SASL mechanism that is spoken here, without channel binding.
const scramName = "SCRAM-SHA-256"

// maxScramRounds is how much work a server may ask for. PostgreSQL's own number is 4096.
const maxScramRounds = 600_000

// scram is the client's side of one SCRAM-SHA-256 exchange (RFC 5802, RFC 7677). The
// user's name is "", as PostgreSQL takes it from the startup packet. Passwords are
// visible ASCII, which SASLprep leaves as it is.
type scram struct {
	user, password, nonce string

	signature []byte // what the server must prove itself with
	verified  bool
}

func newScram(password string) *scram { return &scram{password: password, nonce: rand.Text()} }

func (s *scram) firstBare() string { return "n=" + s.user + ",r=" + s.nonce }

// first is the client-first-message.
func (s *scram) first() string { return "n,," + s.firstBare() }

// answer turns the server-first-message into the client-final-message.
func (s *scram) answer(challenge string) (string, error) {
	nonce, salt, rounds, err := parseScramChallenge(challenge)
	if err != nil {
		return "", err
	}
	if len(nonce) <= len(s.nonce) || !strings.HasPrefix(nonce, s.nonce) {
		return "", errors.New("the server's SCRAM nonce does not begin with ours")
	}
	salted, err := pbkdf2.Key(sha256.New, s.password, salt, rounds, sha256.Size)
	if err != nil {
		return "", fmt.Errorf("cannot salt the password: %w", err)
	}
	final := "c=biws,r=" + nonce
	message := s.firstBare() + "," + challenge + "," + final
	clientKey := hmacSHA256(salted, "Client Key")
	storedKey := sha256.Sum256(clientKey)
	proof := hmacSHA256(storedKey[:], message)
	for i := range proof {
		proof[i] ^= clientKey[i]
	}
	s.signature = hmacSHA256(hmacSHA256(salted, "Server Key"), message)
	return final + ",p=" + base64.StdEncoding.EncodeToString(proof), nil
}

// verify checks the server-final-message: it too must know the password.
func (s *scram) verify(final string) error {
	if reason, ok := strings.CutPrefix(final, "e="); ok {
		return fmt.Errorf("SCRAM failed: %s", shown([]byte(reason)))
	}
	value, _, _ := strings.Cut(final, ",")
	text, ok := strings.CutPrefix(value, "v=")
	signature, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || s.signature == nil || !hmac.Equal(signature, s.signature) {
		return errors.New("the server did not prove that it knows the password")
	}
	s.verified = true
	return nil
}

// parseScramChallenge reads a server-first-message: r=, s=, i=, in this order.
func parseScramChallenge(m string) (nonce string, salt []byte, rounds int, err error) {
	bad := fmt.Errorf("cannot read the SCRAM challenge %s", shown([]byte(m)))
	parts := strings.Split(m, ",")
	if len(parts) < 3 {
		return "", nil, 0, bad
	}
	nonce, ok1 := strings.CutPrefix(parts[0], "r=")
	text, ok2 := strings.CutPrefix(parts[1], "s=")
	number, ok3 := strings.CutPrefix(parts[2], "i=")
	if !ok1 || !ok2 || !ok3 {
		return "", nil, 0, bad
	}
	if salt, err = base64.StdEncoding.DecodeString(text); err != nil || len(salt) == 0 {
		return "", nil, 0, bad
	}
	if rounds, err = strconv.Atoi(number); err != nil || rounds < 1 {
		return "", nil, 0, bad
	}
	if rounds > maxScramRounds {
		return "", nil, 0, fmt.Errorf("the server asks for %d SCRAM rounds, more than %d", rounds, maxScramRounds)
	}
	return nonce, salt, rounds, nil
}

func hmacSHA256(key []byte, message string) []byte {
	h := hmac.New(sha256.New, key)
	_, _ = h.Write([]byte(message)) // never fails
	return h.Sum(nil)
}
