package backend

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"weir/conf"
)

// MySQL's capability flags that matter here, and a few of its codes
// (MySQL Source Code Documentation, "Client/Server Protocol").
const (
	myLongPassword = 1 << 0
	myProtocol41   = 1 << 9
	mySSL          = 1 << 11
	myTransactions = 1 << 13
	mySecureConn   = 1 << 15
	myPluginAuth   = 1 << 19

	myCharsetUTF8 = 33 // known to every version
	myMaxPacket   = 1 << 24

	myTooManyConnections = 1040

	myComQuit  = 1
	myComQuery = 3
)

// mysqlCheck passes, with a user, when the login succeeds and the server tells
// whether it is read-only; without one, when it takes part in a login, whatever the
// end of that: to leave earlier would count against max_connect_errors, and the
// server would shut Weir out after a hundred checks.
func mysqlCheck(ctx context.Context, network, address, server string, h *conf.Health) (f finding, err error) {
	err = converse(ctx, network, address, func(d *dialogue) error {
		m := &myDialogue{dialogue: d, h: h}
		f, err = m.talk(func() error {
			config, err := checkTLS(server, h)
			if err != nil {
				return err
			}
			return d.encrypt(ctx, config)
		}, wantedTLS(network, h))
		return err
	})
	return f, err
}

// myDialogue speaks the protocol of MySQL 4.1 and later, and of MariaDB.
type myDialogue struct {
	*dialogue
	h   *conf.Health
	seq byte // of the next packet
}

// myError is an ERR packet.
type myError struct {
	code    uint16
	message string
}

func (e *myError) Error() string { return fmt.Sprintf("%s (error %d)", e.message, e.code) }

// talk runs the check; encrypt goes over to TLS.
func (m *myDialogue) talk(encrypt func() error, mode string) (finding, error) {
	b, err := m.next()
	if err != nil {
		return finding{}, err
	}
	if isMyErr(b) {
		refusal := myRefusal(b, false)
		if e := (*myError)(nil); m.h.User == "" && errors.As(refusal, &e) && e.code == myTooManyConnections {
			return finding{}, nil // busy is not dead
		}
		return finding{}, refusal
	}
	g, err := parseMyGreeting(b)
	if err != nil {
		return finding{}, err
	}
	flags := uint32(myLongPassword | myProtocol41 | myTransactions | mySecureConn | myPluginAuth)
	if mode != tlsOff && g.flags&mySSL != 0 {
		flags |= mySSL
		if err := m.sendPacket(myHello(flags)); err != nil {
			return finding{}, err
		}
		if err := encrypt(); err != nil {
			return finding{}, err
		}
	} else if mode == tlsRequire {
		return finding{}, errors.New("the server does not offer TLS")
	}
	if err := m.login(flags, g); err != nil || m.h.User == "" {
		return finding{}, err
	}
	f, err := m.role()
	if err == nil {
		m.seq = 0
		_ = m.sendPacket([]byte{myComQuit}) // so that the server's log stays quiet; the check has passed
	}
	return f, err
}

// login logs in. Without a user it only sees the attempt through.
func (m *myDialogue) login(flags uint32, g myGreeting) error {
	user := m.h.User
	if user == "" {
		user = checkUser
	}
	proof, ok := myProof(g.plugin, m.h.Password.Reveal(), g.nonce)
	if !ok { // the server will name the one it wants
		g.plugin = myNative
		proof, _ = myProof(g.plugin, m.h.Password.Reveal(), g.nonce)
	}
	b := append(append(myHello(flags), user...), 0)
	b = append(append(b, byte(len(proof))), proof...)
	b = append(append(b, g.plugin...), 0)
	if err := m.sendPacket(b); err != nil {
		return err
	}
	err := m.authenticate(g.plugin)
	if e := (*myError)(nil); m.h.User == "" && errors.As(err, &e) {
		return nil // it refuses a stranger, so it is well
	}
	if err != nil {
		return fmt.Errorf("cannot log in: %w", err)
	}
	return nil
}

// authenticate answers what the server asks for until it is content.
func (m *myDialogue) authenticate(plugin string) error {
	for {
		b, err := m.next()
		switch {
		case err != nil:
			return err
		case len(b) == 0:
			return errors.New("an empty packet in the login")
		case isMyErr(b):
			return myRefusal(b, true)
		}
		var answer []byte
		switch b[0] {
		case 0:
			return nil
		case 0xfe:
			name, nonce, _ := strings.Cut(string(b[1:]), "\x00")
			plugin = name
			if answer, err = m.answerSwitch(plugin, []byte(strings.TrimSuffix(nonce, "\x00"))); err != nil {
				return err
			}
		case 1:
			if plugin != myCachingSHA2 || len(b) != 2 {
				return fmt.Errorf("the server wants more than the check can do for plugin %s", shown([]byte(plugin)))
			}
			if b[1] == mySHA2Fast {
				continue
			}
			if !m.private {
				return errors.New("the server wants the password itself (caching_sha2_password, full authentication)," +
					" which is sent over TLS or a unix socket only")
			}
			answer = append([]byte(m.h.Password.Reveal()), 0)
		default:
			return fmt.Errorf("unexpected packet 0x%02x in the login: this is not MySQL", b[0])
		}
		if err := m.sendPacket(answer); err != nil {
			return err
		}
	}
}

// answerSwitch answers with the plugin that the server wants instead.
func (m *myDialogue) answerSwitch(plugin string, nonce []byte) ([]byte, error) {
	password := m.h.Password.Reveal()
	if m.h.User == "" {
		return nil, nil // a stranger's empty answer; the refusal that follows is all that counts
	}
	if plugin == myClearPassword && m.private {
		return append([]byte(password), 0), nil
	}
	answer, ok := myProof(plugin, password, nonce)
	if !ok {
		return nil, fmt.Errorf("the server wants plugin %s, which the check does not speak", shown([]byte(plugin)))
	}
	return answer, nil
}

// role asks whether the server is read-only, as replicas are set to be.
func (m *myDialogue) role() (finding, error) {
	m.seq = 0
	if err := m.sendPacket(append([]byte{myComQuery}, "SELECT @@global.read_only"...)); err != nil {
		return finding{}, err
	}
	value, err := m.oneValue()
	if err != nil {
		return finding{}, fmt.Errorf("cannot ask for read_only: %w", err)
	}
	switch value {
	case "0", "OFF":
		return finding{role: RolePrimary}, nil
	case "":
		return finding{}, errors.New("cannot ask for read_only: the answer is empty")
	}
	return finding{role: RoleReplica, lag: lagUnknown}, nil
}

// oneValue reads a result of one column and one row.
func (m *myDialogue) oneValue() (string, error) {
	b, err := m.next()
	if err != nil {
		return "", err
	}
	if isMyErr(b) {
		return "", myRefusal(b, true)
	}
	if len(b) != 1 || b[0] != 1 {
		return "", fmt.Errorf("the answer %s is not a result of one column", shown(b))
	}
	for _, what := range []string{"column", "end of columns"} {
		if b, err = m.next(); err != nil {
			return "", err
		}
		if what == "end of columns" && !isMyEOF(b) {
			return "", errors.New("the columns of the answer do not end where they should")
		}
	}
	if b, err = m.next(); err != nil {
		return "", err
	}
	if isMyErr(b) {
		return "", myRefusal(b, true)
	}
	if isMyEOF(b) || len(b) == 0 || b[0] > 250 || int(b[0]) != len(b)-1 {
		return "", fmt.Errorf("cannot read the row %s", shown(b))
	}
	return string(b[1:]), nil
}

// next reads a packet.
func (m *myDialogue) next() ([]byte, error) {
	head, err := m.read(4)
	if err != nil {
		return nil, err
	}
	n := int(head[0]) | int(head[1])<<8 | int(head[2])<<16
	if n > maxCheckAnswer {
		return nil, fmt.Errorf("a packet has %d bytes: this is not MySQL, or too much", n)
	}
	m.seq = head[3] + 1
	return m.read(n)
}

func (m *myDialogue) sendPacket(body []byte) error {
	n := len(body)
	b := append(make([]byte, 0, 4+n), byte(n), byte(n>>8), byte(n>>16), m.seq)
	m.seq++
	return m.send(append(b, body...))
}

// myHello is the client's side of the handshake up to the user: also the whole of a
// request for TLS.
func myHello(flags uint32) []byte {
	b := binary.LittleEndian.AppendUint32(make([]byte, 0, 128), flags)
	b = binary.LittleEndian.AppendUint32(b, myMaxPacket)
	return append(append(b, myCharsetUTF8), make([]byte, 23)...)
}

// myGreeting is what the server says first.
type myGreeting struct {
	flags  uint32
	nonce  []byte
	plugin string
}

// parseMyGreeting reads a greeting of protocol version 10.
func parseMyGreeting(b []byte) (g myGreeting, err error) {
	bad := fmt.Errorf("unexpected greeting %s: this is not MySQL", shown(b))
	if len(b) == 0 || b[0] != 10 {
		return g, bad
	}
	_, rest, ok := strings.Cut(string(b[1:]), "\x00") // the version
	if !ok || len(rest) < 31 {                        // up to the reserved bytes
		return g, bad
	}
	r := []byte(rest)
	g.nonce = append(g.nonce, r[4:12]...)
	g.flags = uint32(binary.LittleEndian.Uint16(r[13:])) | uint32(binary.LittleEndian.Uint16(r[18:]))<<16
	nonceLen, r := int(r[20]), r[31:]
	if g.flags&myProtocol41 == 0 || g.flags&mySecureConn == 0 {
		return g, errors.New("the server is older than MySQL 4.1")
	}
	part := max(13, nonceLen-8)
	if len(r) < part {
		return g, bad
	}
	g.nonce = append(g.nonce, strings.TrimSuffix(string(r[:part]), "\x00")...)
	if g.flags&myPluginAuth != 0 {
		g.plugin, _, _ = strings.Cut(string(r[part:]), "\x00")
	}
	return g, nil
}

func isMyErr(b []byte) bool { return len(b) > 0 && b[0] == 0xff }

func isMyEOF(b []byte) bool { return len(b) > 0 && len(b) < 9 && b[0] == 0xfe }

// myRefusal is the error in an ERR packet; before the handshake it has no SQLSTATE.
func myRefusal(b []byte, state bool) error {
	if len(b) < 3 {
		return errors.New("cannot read the server's error")
	}
	text := string(b[3:])
	if state && len(text) >= 6 && text[0] == '#' {
		text = text[6:]
	}
	text = strings.ToValidUTF8(text[:min(len(text), 500)], "?")
	return &myError{code: binary.LittleEndian.Uint16(b[1:]), message: text}
}
