package sniff

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
)

// unhex reads hexadecimal digits between white space.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The client's Initial of RFC 9001 appendix A.2, and the keys of A.1.
func rfc9001(t testing.TB) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/rfc9001_a2.hex")
	if err != nil {
		t.Fatal(err)
	}
	return unhex(t, string(text))
}

func TestQUICVectorOfRFC9001(t *testing.T) {
	var q QUIC
	var h Hello
	b := rfc9001(t)
	if v := q.Add(b, testLimit, &h); v != Done || string(h.SNI()) != "example.com" || protocols(&h) != "alpn" {
		t.Errorf("got %v, %q, %q", v, h.SNI(), protocols(&h))
	}
	if !slices.Equal(b, rfc9001(t)) {
		t.Error("the datagram was changed")
	}
	f := func(version uint32, iv, hp string) {
		t.Helper()
		k, err := newQUICKeys(version, unhex(t, "8394c8f03e515708"))
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(k.iv[:]); got != iv {
			t.Errorf("iv %s, want %s", got, iv)
		}
		// The key for headers shows in what it makes of a block.
		var got, want [16]byte
		k.protection.Encrypt(got[:], want[:])
		newAES(t, unhex(t, hp)).Encrypt(want[:], want[:])
		if got != want {
			t.Errorf("version %x: another key for headers", version)
		}
	}
	f(quicV1, "fa044b2f42a3fd3b46fb255c", "9f50449e04a0e810283a1e9933adedd2")
	f(quicV2, "91f73e2351d8fa91660e909f", "45b95e15235d6f45a6b19cbcb0294ba9") // RFC 9369 appendix A.1
}

// quicHello is the handshake message that crypto/tls sends in QUIC.
func quicHello(t testing.TB, c *tls.Config) []byte {
	t.Helper()
	c.MinVersion = tls.VersionTLS13
	conn := tls.QUICClient(&tls.QUICConfig{TLSConfig: c})
	conn.SetTransportParameters([]byte{1, 2, 0x40, 99})
	if err := conn.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for {
		switch e := conn.NextEvent(); e.Kind {
		case tls.QUICWriteData:
			return slices.Clone(e.Data)
		case tls.QUICNoEvent:
			t.Fatal("no hello")
		}
	}
}

// initial describes a packet of a client.
type initial struct {
	version uint32
	dcid    string
	token   string
	number  uint32
	frames  []byte
	clear   byte // bits to set in the first byte, before protection
	size    int  // of the datagram; 0: 1200
}

const testCID = "\x83\x94\xc8\xf0\x3e\x51\x57\x08"

// seal encrypts the packet, padded to its size.
func (p initial) seal(t testing.TB) []byte {
	t.Helper()
	if p.version == 0 {
		p.version = quicV1
	}
	if p.dcid == "" {
		p.dcid = testCID
	}
	if p.size == 0 {
		p.size = quicMinDatagram
	}
	first := byte(0xc3) | p.clear
	if p.version == quicV2 {
		first |= 0x10
	}
	b := binary.BigEndian.AppendUint32([]byte{first}, p.version)
	b = append(append(b, byte(len(p.dcid))), p.dcid...)
	b = append(b, 0)
	b = append(varint(b, len(p.token)), p.token...)
	length := p.size - len(b) - 2
	b = binary.BigEndian.AppendUint16(b, uint16(length)|0x4000)
	pnAt := len(b)
	b = binary.BigEndian.AppendUint32(b, p.number)
	plain := make([]byte, length-4-16)
	if len(p.frames) > len(plain) {
		t.Fatalf("%d bytes of frames do not fit into a datagram of %d", len(p.frames), p.size)
	}
	copy(plain, p.frames)
	k, err := newQUICKeys(p.version, []byte(p.dcid))
	if err != nil {
		t.Fatal(err)
	}
	nonce := k.iv
	for i := range 4 {
		nonce[8+i] ^= b[pnAt+i]
	}
	b = k.aead.Seal(b, nonce[:], plain, b)
	var mask [16]byte
	k.protection.Encrypt(mask[:], b[pnAt+4:pnAt+20])
	b[0] ^= mask[0] & 0x0f
	for i := range 4 {
		b[pnAt+i] ^= mask[1+i]
	}
	return b
}

func varint(b []byte, n int) []byte {
	if n < 64 {
		return append(b, byte(n))
	}
	return binary.BigEndian.AppendUint16(b, uint16(n)|0x4000)
}

func cryptoFrame(off int, data []byte) []byte {
	return append(varint(varint([]byte{quicFrameCrypto}, off), len(data)), data...)
}

// addAll gives the datagrams to one QUIC until a verdict.
func addAll(h *Hello, limit int, datagrams ...[]byte) (v Verdict, used int) {
	var q QUIC
	for i, d := range datagrams {
		if v = q.Add(d, limit, h); v != NeedMore {
			return v, i + 1
		}
	}
	return v, len(datagrams)
}

// TestQUICSeveralDatagrams: today's hello with ML-KEM does not fit into one datagram.
func TestQUICSeveralDatagrams(t *testing.T) {
	for _, version := range []uint32{quicV1, quicV2} {
		msg := quicHello(t, &tls.Config{ServerName: "Www.Example.com", NextProtos: []string{"h3"}})
		if len(msg) < quicMinDatagram {
			t.Fatalf("a hello of %d bytes is not what this test is for", len(msg))
		}
		one := initial{version: version, number: 1, frames: cryptoFrame(0, msg[:1000])}.seal(t)
		two := initial{version: version, number: 2, frames: cryptoFrame(1000, msg[1000:])}.seal(t)
		for _, order := range [][][]byte{{one, two}, {two, one}, {one, one, two}, {two, two, one}} {
			var h Hello
			v, used := addAll(&h, testLimit, order...)
			if v != Done || used != len(order) || string(h.SNI()) != "www.example.com" || protocols(&h) != "h3" {
				t.Errorf("version %x: %v after %d, %q", version, v, used, h.SNI())
			}
		}
	}
}

// TestQUICShuffledFrames: small frames in any order, with others between them, some
// of them twice.
func TestQUICShuffledFrames(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		msg := quicHello(t, &tls.Config{ServerName: "a.example", CurvePreferences: []tls.CurveID{tls.X25519}})
		var pieces [][]byte
		for at := 0; at < len(msg); {
			n := min(1+r.IntN(60), len(msg)-at)
			from := max(0, at-r.IntN(5))
			pieces = append(pieces, cryptoFrame(from, msg[from:at+n]))
			at += n
		}
		pieces = append(pieces, []byte{quicFramePing}, []byte{0, 0, 0}, []byte{quicFrameACK, 0, 0, 1, 0, 1, 1},
			[]byte{quicFrameACKECN, 0, 0, 0, 0, 1, 2, 3})
		r.Shuffle(len(pieces), func(i, j int) { pieces[i], pieces[j] = pieces[j], pieces[i] })
		cut := r.IntN(len(pieces))
		var h Hello
		v, _ := addAll(&h, testLimit, initial{number: 1, frames: slices.Concat(pieces[:cut]...)}.seal(t),
			initial{number: 2, frames: slices.Concat(pieces[cut:]...)}.seal(t))
		if v != Done || string(h.SNI()) != "a.example" {
			t.Fatalf("%v, %q", v, h.SNI())
		}
	}
}

func TestQUICVerdicts(t *testing.T) {
	f := func(what string, want Verdict, datagrams ...[]byte) {
		t.Helper()
		var h Hello
		v, used := addAll(&h, testLimit, datagrams...)
		if v != want || used != len(datagrams) {
			t.Errorf("%s: %v after %d of %d, want %v", what, v, used, len(datagrams), want)
		}
		if v != Done && len(h.SNI()) > 0 {
			t.Errorf("%s: a name", what)
		}
	}
	msg := message(serverName("a.b"))
	crypto := cryptoFrame(0, msg)
	frames := func(b ...byte) []byte { return initial{frames: b}.seal(t) }

	f("a whole one", Done, initial{frames: crypto, token: strings.Repeat("t", 99)}.seal(t))
	f("one with padding before", Done, initial{frames: append(make([]byte, 500), crypto...)}.seal(t))
	f("a packet number", Done, initial{frames: crypto, number: 0x01020304}.seal(t))
	f("closed and whole", Done, initial{frames: append([]byte{quicFrameClose, 0, 0, 2, 'n', 'o'}, crypto...)}.seal(t))

	f("nothing", NotTLS, nil)
	f("one byte", NotTLS, []byte{0xc0})
	f("DNS", NotTLS, []byte("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x01\x00\x01"))
	f("a short header", NotTLS, append([]byte{0x40}, make([]byte, 1300)...))
	f("TLS", NotTLS, record(msg))

	unknown := initial{frames: crypto}.seal(t)
	copy(unknown[1:], "\x0a\x1a\x2a\x3a")
	f("another version", Malformed, unknown)
	f("a small datagram", Malformed, initial{frames: crypto, size: 1199}.seal(t))
	f("a short ID", Malformed, initial{frames: crypto, dcid: "1234567"}.seal(t))
	bad := initial{frames: crypto}.seal(t)
	bad[len(bad)-1] ^= 1
	f("not authentic", Malformed, bad)
	f("cut off", Malformed, initial{frames: crypto, size: 1300}.seal(t)[:1250])
	f("reserved bits", Malformed, initial{frames: crypto, clear: 4}.seal(t))
	for kind := range 256 {
		switch byte(kind) {
		case quicFramePadding, quicFramePing, quicFrameACK, quicFrameACKECN, quicFrameCrypto, quicFrameClose:
		default:
			f("a frame that is not for an Initial", Malformed, frames(byte(kind)))
		}
	}
	f("a frame that is cut", Malformed, initial{frames: append(make([]byte, 1155), cryptoFrame(0, make([]byte, 3))[:5]...), size: 1201}.seal(t)[:1201])
	f("two stories", Malformed, initial{frames: append(crypto, cryptoFrame(4, []byte{9})...)}.seal(t))
	f("another message", Malformed, initial{frames: cryptoFrame(0, []byte{2})}.seal(t))
	f("a bad name", Malformed, initial{frames: cryptoFrame(0, message(serverName("a..b")))}.seal(t))
	f("an endless ACK", Malformed, frames(quicFrameACK, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0))

	f("far ahead", TooLarge, frames(quicFrameCrypto, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0))
	f("at the limit", TooLarge, initial{frames: cryptoFrame(testLimit-1, []byte{1, 1})}.seal(t))
	f("a long message", TooLarge, initial{frames: cryptoFrame(0, []byte{1, 0, 0xff, 0xff})}.seal(t))

	part := initial{number: 1, frames: cryptoFrame(0, msg[:20])}.seal(t)
	rest := initial{number: 2, frames: cryptoFrame(20, msg[20:])}.seal(t)
	f("a part", NeedMore, part)
	f("nothing yet", NeedMore, frames(quicFramePing))
	for _, noise := range [][]byte{nil, {1}, make([]byte, 1300), bad, unknown, rfc9001(t)[:1199], []byte("DNS")} {
		if len(noise) == 1200 && noise[1] == 0 {
			continue
		}
		f("noise between", Done, part, noise, rest)
	}
	f("noise of another connection", Done, part, initial{dcid: "another one", frames: crypto}.seal(t), rest)
	f("not authentic between", Done, part, bad, rest)
	zeroRTT := []byte("\xd0\x00\x00\x00\x01\x08" + testCID + "\x00\x03abc")
	small := initial{number: 1, frames: cryptoFrame(0, msg[:20]), size: 300}.seal(t)
	f("coalesced", Done, slices.Concat(small, zeroRTT, initial{number: 2, frames: cryptoFrame(20, msg[20:])}.seal(t)))
}

// TestQUICKeepsLittle: however many datagrams a client sends, memory has a bound.
func TestQUICKeepsLittle(t *testing.T) {
	var q QUIC
	var h Hello
	for i := range uint32(500) {
		d := initial{number: i, frames: cryptoFrame(1+int(i)*20%(testLimit-20), make([]byte, 10))}.seal(t)
		if v := q.Add(d, testLimit, &h); v != NeedMore {
			t.Fatalf("datagram %d: %v", i, v)
		}
	}
	if n := q.Size(); n > 3*testLimit {
		t.Errorf("%d bytes are kept, the limit is %d", n, testLimit)
	}
}

// FuzzQUIC feeds what is left of a client's datagrams after someone has changed them.
func FuzzQUIC(f *testing.F) {
	f.Add(rfc9001(f), []byte{})
	msg := quicHello(f, &tls.Config{ServerName: "a.example"})
	f.Add(initial{number: 1, frames: cryptoFrame(0, msg[:1000])}.seal(f),
		initial{number: 2, frames: cryptoFrame(1000, msg[1000:])}.seal(f))
	f.Fuzz(func(t *testing.T, one, two []byte) {
		var h Hello
		v, _ := addAll(&h, testLimit, one, two)
		if v == Done && len(h.SNI()) > 0 && !lowerDNSName([]byte("x"+string(h.SNI()))) {
			t.Fatalf("not a DNS name: %q", h.SNI())
		}
	})
}

// FuzzQUICFrames skips the encryption, which no fuzzer gets through.
func FuzzQUICFrames(f *testing.F) {
	msg := message(grease, serverName("a.b"))
	f.Add(cryptoFrame(0, msg), uint16(3))
	f.Add(append(cryptoFrame(30, msg[30:]), cryptoFrame(0, msg[:33])...), uint16(30))
	f.Add([]byte{quicFrameACK, 0, 0, 1, 0, 1, 1, quicFramePing, 0, quicFrameClose, 0, 0, 1, 'x'}, uint16(0))
	f.Fuzz(func(t *testing.T, b []byte, at uint16) {
		var s quicStream
		var h Hello
		v := s.frames(b, testLimit)
		if v == NeedMore {
			v = s.verdict(testLimit, &h)
		}
		if len(s.buf) > 2*testLimit {
			t.Fatalf("%d bytes kept", len(s.buf))
		}
		if v != Done {
			return
		}
		// The same message in a record of TLS has the same name.
		var tcp Hello
		msg := s.buf[:s.run]
		if ClientHello(records(msg, 1<<14), 2*testLimit, &tcp) != Done || string(tcp.SNI()) != string(h.SNI()) {
			t.Fatalf("%q as QUIC, %q as TLS", h.SNI(), tcp.SNI())
		}
	})
}

func newAES(t testing.TB, key []byte) cipher.Block {
	t.Helper()
	b, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
