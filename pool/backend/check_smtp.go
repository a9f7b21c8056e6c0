package backend

import (
	"context"
	"errors"
	"fmt"
	"net"
)

// smtpCheck passes when the server greets with 220 and answers EHLO, or else HELO,
// with 250 (RFC 5321). It takes its leave with QUIT and does not wait for the answer.
func smtpCheck(ctx context.Context, network, address string) error {
	return converse(ctx, network, address, func(d *dialogue) error {
		return smtpTalk(d, smtpName(d.conn.LocalAddr()))
	})
}

func smtpTalk(d *dialogue, name string) error {
	code, text, err := smtpReply(d)
	if err != nil {
		return err
	}
	if code != 220 {
		return fmt.Errorf("the greeting is %s, expected 220", shown(text))
	}
	for _, hello := range []string{"EHLO", "HELO"} {
		if err := d.send([]byte(hello + " " + name + "\r\n")); err != nil {
			return err
		}
		if code, text, err = smtpReply(d); err != nil {
			return err
		}
		if code < 500 {
			break
		}
	}
	if code != 250 {
		return fmt.Errorf("the answer to a hello is %s, expected 250", shown(text))
	}
	_ = d.send([]byte("QUIT\r\n")) // the check has passed
	return nil
}

// smtpReply reads a reply of one or more lines: its code and its last line.
func smtpReply(d *dialogue) (code int, text []byte, err error) {
	for {
		line, err := d.line()
		if err != nil {
			return 0, nil, err
		}
		n, more, ok := smtpLine(line)
		switch {
		case !ok:
			return 0, nil, fmt.Errorf("unexpected answer %s: this is not SMTP", shown(line))
		case code != 0 && n != code:
			return 0, nil, errors.New("the lines of one reply have different codes")
		case !more:
			return n, line, nil
		}
		code = n
	}
}

// smtpLine reads the code of a line and whether more lines follow.
func smtpLine(line []byte) (code int, more, ok bool) {
	if len(line) < 3 || len(line) > 3 && line[3] != ' ' && line[3] != '-' {
		return 0, false, false
	}
	for _, c := range line[:3] {
		if c < '0' || c > '9' {
			return 0, false, false
		}
		code = code*10 + int(c-'0')
	}
	return code, len(line) > 3 && line[3] == '-', code >= 200 && code <= 599
}

// smtpName is who the check says it is: its address, as RFC 5321, 4.1.3 writes it.
func smtpName(local net.Addr) string {
	tcp, ok := local.(*net.TCPAddr)
	if !ok {
		return "localhost"
	}
	if ip := tcp.IP.To4(); ip != nil {
		return "[" + ip.String() + "]"
	}
	return "[IPv6:" + tcp.IP.String() + "]"
}
