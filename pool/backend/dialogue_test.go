package backend

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"weir/conf"
)

// deafConn is a connection to a server that sends what it sends, whatever it is told.
type deafConn struct {
	net.Conn
	r    io.Reader
	sent bytes.Buffer
}

func (c *deafConn) Read(b []byte) (int, error)  { return c.r.Read(b) }
func (c *deafConn) Write(b []byte) (int, error) { return c.sent.Write(b) }

// talks runs the check of a type over a connection that is there already.
var talks = map[string]func(d *dialogue, h *conf.Health) (finding, error){
	checkPostgres: func(d *dialogue, h *conf.Health) (finding, error) {
		return (&pgDialogue{dialogue: d, h: h}).talk()
	},
	checkMySQL: func(d *dialogue, h *conf.Health) (finding, error) {
		return (&myDialogue{dialogue: d, h: h}).talk(func() error { return errors.New("no TLS here") }, h.TLS)
	},
	checkRedis: func(d *dialogue, h *conf.Health) (finding, error) { return (&redisDialogue{d}).talk(h) },
	checkSMTP:  func(d *dialogue, _ *conf.Health) (finding, error) { return finding{}, smtpTalk(d, "localhost") },
	checkExpect: func(d *dialogue, h *conf.Health) (finding, error) {
		return finding{}, expectTalk(d, h.Script)
	},
}

// heard runs a check against a server that says answer and hangs up, in one piece
// and byte by byte, and words the result.
func heard(t testing.TB, h conf.Health, answer string) (result, sent string) {
	t.Helper()
	if h.TLS == "" {
		h.TLS = tlsOff
	}
	once := func(r io.Reader) (string, string) {
		c := &deafConn{r: r}
		f, err := talks[h.Type](newDialogue(c, false), &h)
		switch {
		case err != nil:
			return err.Error(), c.sent.String()
		case f.role == RoleReplica && f.lag != lagUnknown:
			return "replica " + f.lag.String(), c.sent.String()
		case f.role != RoleUnknown:
			return f.role.String(), c.sent.String()
		}
		return "up", c.sent.String()
	}
	result, sent = once(strings.NewReader(answer))
	if slow, _ := once(iotest.OneByteReader(strings.NewReader(answer))); slow != result {
		t.Errorf("%s %q: %q in one piece, %q byte by byte", h.Type, answer, result, slow)
	}
	return result, sent
}

// hears fails unless the result holds want; "up" and roles must be it exactly.
func hears(t *testing.T, h conf.Health, answer, want string) {
	t.Helper()
	got, _ := heard(t, h, answer)
	exact := want == "up" || want == wantPrimary || strings.HasPrefix(want, wantReplica)
	if got != want && (exact || !strings.Contains(got, want)) {
		t.Errorf("%s %.200q:\ngot  %q\nwant %q", h.Type, answer, got, want)
	}
}

// cutShort checks that no beginning of a good answer passes.
func cutShort(t *testing.T, h conf.Health, answer string) {
	t.Helper()
	for i := range answer {
		if got, _ := heard(t, h, answer[:i]); got != errCheckEnd.Error() && !strings.Contains(got, ": "+errCheckEnd.Error()) {
			t.Fatalf("%s: %q is %q, want that the connection ended", h.Type, answer[:i], got)
		}
	}
}

func pgMsg(kind byte, body string) string {
	return string(binary.BigEndian.AppendUint32([]byte{kind}, uint32(4+len(body)))) + body
}

func pgAuth(code uint32, rest string) string {
	return pgMsg('R', string(binary.BigEndian.AppendUint32(nil, code))+rest)
}

func pgErr(code, message string) string {
	return pgMsg('E', "SFATAL\x00C"+code+"\x00M"+message+"\x00\x00")
}

func pgRow(v string) string {
	return pgMsg('T', "-") + pgMsg('D', "\x00\x01"+string(binary.BigEndian.AppendUint32(nil, uint32(len(v))))+v) +
		pgMsg('C', "SELECT 1\x00") + pgMsg('Z', "I")
}

func TestPostgresAlive(t *testing.T) {
	h := conf.Health{Type: checkPostgres}
	f := func(answer, want string) { t.Helper(); hears(t, h, answer, want) }
	f(pgAuth(0, ""), "up")
	f(pgAuth(10, "SCRAM-SHA-256\x00\x00"), "up")
	f(pgMsg('N', "notice")+pgAuth(5, "salt"), "up")
	f(pgErr("28000", "no entry"), "up")
	f(pgErr("28P01", "wrong"), "up")
	f(pgErr("3D000", "no such database"), "up")
	f(pgErr("53300", "sorry, too many clients already"), "up")
	f(pgErr("57P03", "the database system is starting up"), "the database system is starting up (SQLSTATE 57P03)")
	f(pgErr("57P01", "shutting down"), "57P01")
	f(pgErr("XX000", "broken"), "XX000")
	f(pgErr("58030", "disk"), "58030")
	f(pgErr("", "no state"), "cannot read the server's error")
	f(pgErr("28-00", "odd state"), "cannot read the server's error")
	f(pgMsg('E', ""), "cannot read the server's error")
	f(pgMsg('Z', "I"), `unexpected message 'Z': this is not PostgreSQL`)
	f("HTTP/1.1 400 Bad Request\r\n", "this is not PostgreSQL")
	f("R\x00\x00\x00\x03", "impossible length 3")
	f("R\x7f\xff\xff\xff", "2147483647 bytes")
	f(strings.Repeat(pgMsg('N', "flood"), 10000), errCheckFlood.Error())
	f("", errCheckEnd.Error())
	cutShort(t, h, pgErr("28000", "no entry"))
	_, sent := heard(t, h, pgAuth(0, ""))
	want := "\x00\x00\x00\x47\x00\x03\x00\x00user\x00weir-health\x00database\x00postgres\x00" +
		"application_name\x00weir-health\x00\x00"
	if want = want[:3] + string(rune(len(want))) + want[4:]; sent != want {
		t.Errorf("sent\n%q\nwant\n%q", sent, want)
	}
}

func TestPostgresLogin(t *testing.T) {
	h := conf.Health{Type: checkPostgres, User: "weir", Password: conf.NewSecret("pencil"), Database: "app"}
	f := func(answer, want string) { t.Helper(); hears(t, h, answer, want) }
	in := pgMsg('S', "a\x00b\x00") + pgMsg('K', "12345678") + pgMsg('Z', "I")
	ok := pgAuth(0, "") + in
	f(ok+pgRow("f"), "primary")
	f(pgAuth(3, "")+ok+pgRow("f"), "primary")
	f(pgAuth(5, "salt")+ok+pgRow("t")+pgRow("1500"), "replica 1.5s")
	f(ok+pgRow("t")+pgRow("0"), "replica 0s")
	f(ok+pgRow("t")+pgRow("99999999999999999"), "replica 8760h0m0s")
	f(ok+pgRow("t")+pgRow(""), "replica")
	f(ok+pgRow("t")+pgRow("-1"), "replica")
	f(ok+pgRow("t")+pgMsg('D', "\x00\x01\xff\xff\xff\xff")+pgMsg('Z', "I"), "replica")
	f(ok+pgRow("t")+pgErr("42883", "no such function")+pgMsg('Z', "I"), "replica")
	f(ok+pgRow("t"), errCheckEnd.Error())
	f(ok+pgRow("maybe"), `cannot read the answer "maybe"`)
	f(ok+pgErr("42501", "denied")+pgMsg('Z', "I"), "cannot ask for the role: denied")
	f(ok+pgMsg('C', "")+pgMsg('Z', "I"), "no row")
	f(ok+pgMsg('D', "\x00\x01\x00\x00\x00\x09f"), "cannot read a row")
	f(pgErr("28P01", "wrong password"), "cannot log in: wrong password (SQLSTATE 28P01)")
	f(pgErr("53300", "full"), "cannot log in: full")
	f(pgAuth(7, ""), "authentication method 7 is not supported")
	f(pgMsg('R', "x"), "cannot read the server's demand")
	f(pgAuth(5, "sal"), "cannot read the salt")
	f(pgAuth(10, "SCRAM-SHA-1\x00\x00"), "without SCRAM-SHA-256")
	f(pgAuth(11, "r=x"), "continues SASL before it began")
	f(pgAuth(10, "SCRAM-SHA-256-PLUS\x00SCRAM-SHA-256\x00\x00")+pgAuth(0, ""), "did not prove")
	f(pgAuth(10, "SCRAM-SHA-256\x00\x00")+pgAuth(12, "v="), "did not prove")
	f(pgAuth(10, "SCRAM-SHA-256\x00\x00")+pgAuth(11, "r=other,s=aGFs,i=4096"), "does not begin with ours")
	f(pgAuth(10, "SCRAM-SHA-256\x00\x00")+pgAuth(11, "r=other,s=aGFs,i=4000000"), "4000000 SCRAM rounds")
	cutShort(t, h, ok+pgRow("t")+pgRow("0"))
	_, sent := heard(t, h, pgAuth(5, "salt")+ok+pgRow("f"))
	if want := "md56bd5a878fbe093e8fed740f792c81d6d"; !strings.Contains(sent, "p\x00\x00\x00\x28"+want+"\x00") {
		t.Errorf("sent %q, want %s in it", sent, want)
	}
	h.Password = conf.Secret{}
	f(ok+pgRow("f"), "primary")
	f(pgAuth(3, ""), "wants a password, the check has none")
}

// The example of RFC 7677, section 3.
func TestScram(t *testing.T) {
	s := &scram{user: "user", password: "pencil", nonce: "rOprNGfwEbeRWgbNEkqO"}
	final, err := s.answer("r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")
	if want := "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0," +
		"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="; err != nil || final != want {
		t.Fatalf("got %q, %v, want %q", final, err, want)
	}
	f := func(challenge string) {
		t.Helper()
		if _, err := (&scram{nonce: "a"}).answer(challenge); err == nil {
			t.Errorf("%q is accepted", challenge)
		}
	}
	f("")
	f("r=ab")
	f("r=ab,s=aGFs")
	f("r=ab,s=aGFs,i=0")
	f("r=ab,s=aGFs,i=-1")
	f("r=ab,s=aGFs,i=x")
	f("r=ab,s=,i=1")
	f("r=ab,s=%,i=1")
	f("r=a,s=aGFs,i=1")
	f("r=b,s=aGFs,i=1")
	f("m=x,r=ab,s=aGFs,i=1")
	for _, final := range []string{"", "v=", "v=%", "e=invalid-proof", "v=AAAA"} {
		if err := s.verify(final); err == nil || s.verified {
			t.Errorf("%q is accepted", final)
		}
	}
	if err := s.verify("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="); err != nil || !s.verified {
		t.Errorf("the right signature is refused: %v", err)
	}
}

// The proofs of MySQL, computed with Python's hashlib.
func TestMySQLProof(t *testing.T) {
	f := func(plugin, want string) {
		t.Helper()
		if got, ok := myProof(plugin, "pencil", []byte("12345678901234567890")); !ok || hex.EncodeToString(got) != want {
			t.Errorf("%s: %x, want %s", plugin, got, want)
		}
	}
	f(myNative, "b69965c3f26f7abc5d7f0eb0629b37ee215105d2")
	f(myCachingSHA2, "d678b5a19b0a37d66b7312305bffd8b82404487a728ca37a8a07baf5a5f9df4f")
}

func myPacket(seq byte, body string) string {
	n := len(body)
	return string([]byte{byte(n), byte(n >> 8), byte(n >> 16), seq}) + body
}

func myGreet(plugin string, flags uint32) string {
	b := "\n8.0.36\x00" + "\x01\x00\x00\x00" + "12345678\x00"
	b += string([]byte{byte(flags), byte(flags >> 8), 33, 2, 0, byte(flags >> 16), byte(flags >> 24), 21})
	return b + strings.Repeat("\x00", 10) + "901234567890\x00" + plugin + "\x00"
}

const myFlags = myProtocol41 | mySecureConn | myPluginAuth

func myErrPacket(seq byte, code uint16, message string) string {
	return myPacket(seq, "\xff"+string(binary.LittleEndian.AppendUint16(nil, code))+message)
}

func myResult(v string) string {
	return myPacket(1, "\x01") + myPacket(2, "column") + myPacket(3, "\xfe\x00\x00\x02\x00") +
		myPacket(4, string(rune(len(v)))+v) + myPacket(5, "\xfe\x00\x00\x02\x00")
}

func TestMySQLAlive(t *testing.T) {
	h := conf.Health{Type: checkMySQL}
	f := func(answer, want string) { t.Helper(); hears(t, h, answer, want) }
	greet := myPacket(0, myGreet(myNative, myFlags))
	f(greet+myErrPacket(2, 1045, "#28000Access denied"), "up")
	f(greet+myPacket(2, "\xfecaching_sha2_password\x00abc\x00")+myErrPacket(4, 1045, "#28000Access denied"), "up")
	f(greet+myPacket(2, "\xfeclient_ed25519\x00abc")+myErrPacket(4, 1045, "#28000Access denied"), "up")
	f(greet+myPacket(2, "\x00\x00\x00\x02\x00\x00\x00"), "up")
	f(greet, errCheckEnd.Error())
	f(myErrPacket(0, 1040, "Too many connections"), "up")
	f(myErrPacket(0, 1129, "Host is blocked"), "Host is blocked (error 1129)")
	f(myErrPacket(0, 1130, "Host is not allowed"), "Host is not allowed (error 1130)")
	f(myPacket(0, "\xff"), "cannot read the server's error")
	f(myPacket(0, ""), "this is not MySQL")
	f(myPacket(0, "\x09old"), "this is not MySQL")
	f(myPacket(0, myGreet("", 0)), "older than MySQL 4.1")
	f("SSH-2.0-OpenSSH_9.2\r\n", "this is not MySQL")
	f("\xff\xff\xff\x00", "16777215 bytes")
	f(greet+strings.Repeat(myPacket(2, "\xfe\x00"), 30000), errCheckFlood.Error())
	whole := myGreet(myNative, myFlags)
	for i := range len(whole) - len(myNative) - 1 {
		f(myPacket(0, whole[:i]), "this is not MySQL")
	}
	cutShort(t, h, greet+myErrPacket(2, 1045, "#28000Access denied"))
}

func TestMySQLLogin(t *testing.T) {
	h := conf.Health{Type: checkMySQL, User: "weir", Password: conf.NewSecret("pencil")}
	f := func(answer, want string) { t.Helper(); hears(t, h, answer, want) }
	greet := myPacket(0, myGreet(myNative, myFlags))
	sha2 := myPacket(0, myGreet(myCachingSHA2, myFlags))
	ok := myPacket(2, "\x00\x00\x00\x02\x00\x00\x00")
	f(greet+ok+myResult("0"), "primary")
	f(greet+ok+myResult("OFF"), "primary")
	f(greet+ok+myResult("1"), "replica")
	f(greet+ok+myResult("ON"), "replica")
	f(greet+ok+myResult(""), "answer is empty")
	f(greet+myPacket(2, "\xfe"+myNative+"\x0012345678901234567890\x00")+ok+myResult("0"), "primary")
	f(sha2+myPacket(2, "\x01\x03")+ok+myResult("0"), "primary")
	f(sha2+myPacket(2, "\x01\x04"), "over TLS or a unix socket only")
	f(sha2+myPacket(2, "\x01\x03\x00"), "more than the check can do")
	f(greet+myPacket(2, "\x01\x03"), "more than the check can do")
	f(greet+myPacket(2, "\xfemysql_clear_password\x00"), "does not speak")
	f(greet+myPacket(2, "\xfeclient_ed25519\x00x"), `"client_ed25519", which the check does not speak`)
	f(greet+myPacket(2, ""), "empty packet")
	f(greet+myPacket(2, "\x07"), "unexpected packet 0x07")
	f(greet+myErrPacket(2, 1045, "#28000Access denied"), "cannot log in: Access denied (error 1045)")
	f(greet+ok+myErrPacket(1, 1227, "#42000No right"), "cannot ask for read_only: No right (error 1227)")
	f(greet+ok+myPacket(1, "\x02"), "not a result of one column")
	f(greet+ok+myPacket(1, "\x01")+myPacket(2, "c")+myPacket(3, "c"), "do not end where they should")
	f(greet+ok+myPacket(1, "\x01")+myPacket(2, "c")+myPacket(3, "\xfe")+myPacket(4, "\x05f"), "cannot read the row")
	f(greet+ok+myPacket(1, "\x01")+myPacket(2, "c")+myPacket(3, "\xfe")+myPacket(4, "\xfe"), "cannot read the row")
	h.TLS = tlsRequire
	f(greet, "does not offer TLS")
	f(myPacket(0, myGreet(myNative, myFlags|mySSL)), "no TLS here")
	h.TLS = tlsPrefer
	f(greet+ok+myResult("0"), "primary")
	h.TLS = tlsOff
	answer := greet + ok + myResult("0")
	cutShort(t, h, answer[:len(answer)-9]) // the end of the rows is not waited for
}

// Over TLS or a unix socket the password itself may be sent.
func TestMySQLPrivate(t *testing.T) {
	h := conf.Health{Type: checkMySQL, User: "weir", Password: conf.NewSecret("pencil")}
	f := func(plugin, demand, want string) {
		t.Helper()
		c := &deafConn{r: strings.NewReader(myPacket(0, myGreet(plugin, myFlags)) + myPacket(2, demand) +
			myPacket(4, "\x00\x00\x00\x02\x00") + myResult("1"))}
		found, err := (&myDialogue{dialogue: newDialogue(c, true), h: &h}).talk(nil, tlsOff)
		if err != nil || found.role != RoleReplica || !strings.Contains(c.sent.String(), want) {
			t.Errorf("%s: %v, %v, sent %q", plugin, found, err, c.sent.String())
		}
	}
	f(myCachingSHA2, "\x01\x04", myPacket(3, "pencil\x00"))
	f(myNative, "\xfe"+myClearPassword+"\x00", myPacket(3, "pencil\x00"))
}

func TestRedisCheck(t *testing.T) {
	h := conf.Health{Type: checkRedis}
	f := func(answer, want string) { t.Helper(); hears(t, h, answer, want) }
	f("+PONG\r\n*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n", "primary")
	f("+PONG\r\n*5\r\n$5\r\nslave\r\n$1\r\nh\r\n:1\r\n$9\r\nconnected\r\n:0\r\n", "replica")
	f("+PONG\r\n*2\r\n$8\r\nsentinel\r\n*0\r\n", "up")
	f("+PONG\r\n-NOPERM no\r\n$26\r\n# Replication\r\nrole:master\r\n", "primary")
	f("+PONG\r\n-NOPERM no\r\n$28\r\n# Replication\r\nrole:master\r\n\r\n", "primary")
	f("+PONG\r\n-NOPERM no\r\n$10\r\nrole:slave\r\n", "replica")
	f("+PONG\r\n-NOPERM no\r\n-NOPERM no\r\n", "up")
	f("+PONG\r\n*0\r\n", "up")
	f("+PONG\r\n*-1\r\n", "up")
	f("+PONG\r\n$-1\r\n", "up")
	f("-NOAUTH Authentication required.\r\n", "up")
	f("-LOADING Redis is loading the dataset in memory\r\n", "LOADING")
	f("-MASTERDOWN Link with MASTER is down\r\n", "MASTERDOWN")
	f("-DENIED Redis is running in protected mode\r\n", "DENIED")
	f("-ERR max number of clients reached\r\n", "max number")
	f("HTTP/1.1 400 Bad Request\r\n", "this is not Redis")
	f("\r\n", "this is not Redis")
	f("+PONG\r\n$x\r\n", "cannot read the length")
	f("+PONG\r\n$-2\r\n", "cannot read the length")
	f("+PONG\r\n$99999999999\r\n", errCheckFlood.Error())
	f("+PONG\r\n$2\r\nabcd", "does not end where it should")
	f(strings.Repeat("+", 1<<20), errCheckFlood.Error())
	cutShort(t, h, "+PONG\r\n*3\r\n$6\r\nmaster\r\n")

	h.Password = conf.NewSecret("p")
	f("+OK\r\n+PONG\r\n*1\r\n$6\r\nmaster\r\n", "primary")
	f("-WRONGPASS no\r\n", "cannot log in: -WRONGPASS no")
	f("+OK\r\n-NOAUTH Authentication required.\r\n", "NOAUTH")
	h.User = "u"
	_, sent := heard(t, h, "+OK\r\n")
	if want := "*3\r\n$4\r\nAUTH\r\n$1\r\nu\r\n$1\r\np\r\n*1\r\n$4\r\nPING\r\n"; sent != want {
		t.Errorf("sent %q, want %q", sent, want)
	}
}

func TestSMTPCheck(t *testing.T) {
	h := conf.Health{Type: checkSMTP}
	f := func(answer, want string) { t.Helper(); hears(t, h, answer, want) }
	f("220 mx ESMTP\r\n250 mx\r\n", "up")
	f("220-mx\r\n220 ESMTP\r\n250-mx\r\n250-SIZE 1\r\n250 HELP\r\n221 bye\r\n", "up")
	f("220\r\n250\r\n", "up")
	f("220 mx\n250 mx\n", "up")
	f("220 mx\r\n502 what\r\n250 mx\r\n", "up")
	f("220 mx\r\n502 what\r\n502 what\r\n", `the answer to a hello is "502 what", expected 250`)
	f("220 mx\r\n421 closing\r\n", `"421 closing", expected 250`)
	f("554 no service\r\n", `the greeting is "554 no service", expected 220`)
	f("421 too busy\r\n", "421 too busy")
	f("220-a\r\n221 b\r\n", "different codes")
	f("+OK POP3\r\n", "this is not SMTP")
	f("22\r\n", "this is not SMTP")
	f("2200 x\r\n", "this is not SMTP")
	f("120 x\r\n", "this is not SMTP")
	f(strings.Repeat("220-x\r\n", 20000), errCheckFlood.Error())
	f(strings.Repeat("x", 1<<20), errCheckFlood.Error())
	cutShort(t, h, "220-mx\r\n220 ESMTP\r\n250-mx\r\n250 HELP\r\n")
	if _, sent := heard(t, h, "220 mx\r\n502 what\r\n250 mx\r\n"); sent != "EHLO localhost\r\nHELO localhost\r\nQUIT\r\n" {
		t.Errorf("sent %q", sent)
	}
	for ip, want := range map[string]string{"10.0.0.1": "[10.0.0.1]", "2001:db8::1": "[IPv6:2001:db8::1]"} {
		if got := smtpName(&net.TCPAddr{IP: net.ParseIP(ip)}); got != want {
			t.Errorf("the name for %s is %s, want %s", ip, got, want)
		}
	}
}

func TestExpectCheck(t *testing.T) {
	h := conf.Health{Type: checkExpect, Script: []conf.HealthStep{
		{Expect: "+OK"}, {Send: "QUIT\r\n"}, {Expect: "bye"}, {Expect: "b"},
	}}
	f := func(answer, want string) { t.Helper(); hears(t, h, answer, want) }
	f("+OK bye b", "up")
	f("....+OKbyeb", "up")
	f("+OK by", `step 3: "bye" is not in the answer " by": `+errCheckEnd.Error())
	f("+OK bye", `step 4: "b" is not in the answer ""`)
	f("-ERR\r\n", `step 1: "+OK" is not in the answer "-ERR\r\n"`)
	f(strings.Repeat("+", 1<<20), errCheckFlood.Error())
	cutShort(t, h, "+OK bye b")
	if _, sent := heard(t, h, "+OK bye b"); sent != "QUIT\r\n" {
		t.Errorf("sent %q", sent)
	}
}

// Every type gives up when its time is over, whether a server says nothing or takes
// nothing, over TCP and a unix socket.
func TestChecksEnd(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "s")
	u, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	defer l.Close() // both accept into their backlog only
	a := netip.MustParseAddrPort(l.Addr().String())
	places := []place{
		tcpPlace(conf.Addr{Network: "tcp", Host: a.Addr().String(), Port: a.Port()}, a.Addr(), ""),
		unixPlace(conf.Addr{Network: "unix", Path: path}),
	}
	for _, p := range places {
		for _, kind := range []string{
			checkTLSType, checkHTTP, checkPostgres, checkMySQL, checkRedis, checkSMTP, checkExpect,
		} {
			for _, user := range []string{"", "u"} {
				h := conf.Health{
					Type: kind, Timeout: 20 * time.Millisecond, User: user, Password: conf.NewSecret("p"),
					Path: "/", Script: []conf.HealthStep{{Expect: "x"}},
				}
				if got := placeResult(p, h); !strings.Contains(got, errCheckTimeout.Error()) {
					t.Errorf("%s with user %q over %s: %s", kind, user, p.network, got)
				}
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := smtpCheck(ctx, "tcp", a.String()); !errors.Is(err, context.Canceled) {
		t.Errorf("a check that was stopped: %v", err)
	}
}

// FuzzChecks feeds every check with anything: it must end without a panic, read no
// more than its bound, and say the same however the bytes were cut.
func FuzzChecks(f *testing.F) {
	kinds := []string{checkPostgres, checkMySQL, checkRedis, checkSMTP, checkExpect}
	for i, s := range []string{
		pgAuth(0, "") + pgMsg('Z', "I") + pgRow("t") + pgRow("0"),
		myPacket(0, myGreet(myCachingSHA2, myFlags)) + myPacket(2, "\x01\x03") + myPacket(3, "\x00") + myResult("1"),
		"+OK\r\n+PONG\r\n-NOPERM no\r\n$10\r\nrole:slave\r\n",
		"220-a\r\n220 b\r\n250 c\r\n",
		"..x..",
		pgAuth(10, "SCRAM-SHA-256\x00\x00") + pgAuth(11, "r=other,s=aGFs,i=4096"),
	} {
		f.Add(uint8(i%len(kinds)), true, []byte(s))
		f.Add(uint8(i%len(kinds)), false, []byte(s))
	}
	f.Fuzz(func(t *testing.T, kind uint8, login bool, b []byte) {
		h := conf.Health{Type: kinds[int(kind)%len(kinds)], Script: []conf.HealthStep{{Send: "a", Expect: "x"}}}
		if login {
			h.User, h.Password = "u", conf.NewSecret("p")
		}
		heard(t, h, string(b))
		_, _, _, _ = parseScramChallenge(string(b))
		_, _ = pgParseError(b)
		_, _ = pgFirstColumn(b)
		_, _ = parseMyGreeting(b)
		_, _, _ = smtpLine(b)
	})
}
