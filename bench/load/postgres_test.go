package load

import (
	"bufio"
	"crypto/hmac"
	"crypto/md5"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// pgServer speaks as much of the protocol as the client does, with one way to log in.
type pgServer struct {
	t        *testing.T
	auth     string
	password string
	row      string
}

func (s *pgServer) serve(c net.Conn) {
	r := bufio.NewReader(c)
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return
	}
	startup := make([]byte, binary.BigEndian.Uint32(size[:])-4)
	if _, err := io.ReadFull(r, startup); err != nil {
		return
	}
	if !strings.Contains(string(startup), "user\x00ann\x00database\x00shop\x00") {
		s.t.Errorf("startup %q", startup)
	}
	if !s.logIn(c, r) {
		send(c, 'E', "SFATAL\x00C28P01\x00Mpassword authentication failed\x00\x00")
		return
	}
	send(c, 'R', "\x00\x00\x00\x00")
	send(c, 'S', "server_version\x0015\x00")
	send(c, 'K', "12345678")
	send(c, 'Z', "I")
	for {
		kind, body := receiveMessage(r)
		if kind != 'Q' || body != "SELECT 1\x00" {
			return
		}
		send(c, 'T', "\x00\x01?column?\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x17\x00\x04\xff\xff\xff\xff\x00\x00")
		send(c, 'D', s.row)
		send(c, 'C', "SELECT 1\x00")
		send(c, 'Z', "I")
	}
}

func (s *pgServer) logIn(c net.Conn, r *bufio.Reader) bool {
	ask := func(n byte, data string) string {
		send(c, 'R', "\x00\x00\x00"+string(n)+data)
		_, body := receiveMessage(r)
		return body
	}
	switch s.auth {
	case "trust":
		return true
	case "password":
		return ask(3, "") == s.password+"\x00"
	case "md5":
		inner := md5.Sum([]byte(s.password + "ann"))
		outer := md5.Sum([]byte(hex.EncodeToString(inner[:]) + "salt"))
		return ask(5, "salt") == "md5"+hex.EncodeToString(outer[:])+"\x00"
	}
	return s.scram(c, ask)
}

// scram is the server's side of RFC 5802, written from the RFC's own formulas.
func (s *pgServer) scram(c net.Conn, ask func(byte, string) string) bool {
	first := ask(10, "SCRAM-SHA-256\x00\x00")
	bare, ok := strings.CutPrefix(first[strings.Index(first, "\x00")+5:], "n,,")
	if !ok {
		return false
	}
	challenge := "r=" + bare[strings.Index(bare, "r=")+2:] + "server,s=" + base64.StdEncoding.EncodeToString([]byte("salt")) + ",i=4096"
	final := ask(11, challenge)
	withoutProof, proof, _ := strings.Cut(final, ",p=")
	message := bare + "," + challenge + "," + withoutProof
	salted, _ := pbkdf2.Key(sha256.New, s.password, []byte("salt"), 4096, 32)
	sign := func(key []byte, text string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	clientKey := sign(salted, "Client Key")
	stored := sha256.Sum256(clientKey)
	got, err := base64.StdEncoding.DecodeString(proof)
	if err != nil || len(got) != 32 {
		return false
	}
	for i, b := range sign(stored[:], message) {
		got[i] ^= b
	}
	if sha256.Sum256(got) != stored {
		return false
	}
	send(c, 'R', "\x00\x00\x00\x0cv="+base64.StdEncoding.EncodeToString(sign(sign(salted, "Server Key"), message)))
	return true
}

func send(w io.Writer, kind byte, body string) { _, _ = w.Write(pgMessage(nil, kind, body)) }

func receiveMessage(r io.Reader) (kind byte, body string) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, ""
	}
	b := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
	if _, err := io.ReadFull(r, b); err != nil {
		return 0, ""
	}
	return head[0], string(b)
}

func TestPostgres(t *testing.T) {
	const one = "\x00\x01\x00\x00\x00\x011"
	f := func(auth, password, row string, reconnect bool, want string) {
		t.Helper()
		s := &pgServer{t: t, auth: auth, password: "secret", row: row}
		p := short(Workload{
			Kind: Postgres, Address: serve(t, s.serve), User: "ann", Password: password, Database: "shop", Reconnect: reconnect,
		})
		p.Requests, p.Duration = 20, 10*time.Second
		r := mustRun(t, p)
		got := r.Error
		if got == "" {
			got = fmt.Sprintf("%d answered", r.Requests-r.Failed.Total())
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s with %q: %s, want %q; failed: %s", auth, password, got, want, r.Failed)
		}
	}
	f("trust", "", one, false, "20 answered")
	f("trust", "", one, true, "20 answered")
	f("password", "secret", one, true, "20 answered")
	f("md5", "secret", one, true, "20 answered")
	f("scram", "secret", one, true, "20 answered")
	f("md5", "wrong", one, true, "password authentication failed")
	f("scram", "wrong", one, false, "password authentication failed")
	f("trust", "", "\x00\x01\x00\x00\x00\x012", false, "SELECT 1 gave the row")
}

func TestScram(t *testing.T) {
	// The example of RFC 7677 section 3, whose client names the user.
	s := &scram{password: "pencil", nonce: "rOprNGfwEbeRWgbNEkqO"}
	if _, err := s.final("r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"); err == nil {
		t.Error("a nonce that is not ours was taken")
	}
	if _, err := s.final("r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=99999999"); err == nil {
		t.Error("a server may not ask for any amount of work")
	}
	if err := s.verify("v=" + base64.StdEncoding.EncodeToString([]byte("x"))); err == nil {
		t.Error("a wrong proof was taken")
	}
}
