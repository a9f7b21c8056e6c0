package backend

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"weir/conf"
)

// redisCheck passes when the server answers PING with PONG, after a login where the
// check has one. It learns the role where the server tells it. A server that wants
// a login from a check that has none is up, of unknown role; one that is loading its
// data is not up.
func redisCheck(ctx context.Context, network, address, server string, h *conf.Health) (f finding, err error) {
	err = converse(ctx, network, address, func(d *dialogue) error {
		if h.TLS == tlsRequire {
			config, err := checkTLS(server, h)
			if err != nil {
				return err
			}
			if err := d.encrypt(ctx, config); err != nil {
				return err
			}
		}
		f, err = (&redisDialogue{d}).talk(h)
		return err
	})
	return f, err
}

// redisDialogue speaks RESP, version 2.
type redisDialogue struct{ *dialogue }

func (r *redisDialogue) talk(h *conf.Health) (finding, error) {
	if !h.Password.IsZero() {
		login := []string{"AUTH", h.Password.Reveal()}
		if h.User != "" {
			login = []string{"AUTH", h.User, h.Password.Reveal()}
		}
		if answer, err := r.ask(login...); err != nil {
			return finding{}, err
		} else if answer != "+OK" {
			return finding{}, fmt.Errorf("cannot log in: %s", answer)
		}
	}
	answer, err := r.ask("PING")
	switch {
	case err != nil:
		return finding{}, err
	case redisErrorCode(answer) == "NOAUTH" && h.Password.IsZero():
		return finding{}, nil
	case answer != "+PONG":
		return finding{}, fmt.Errorf("unexpected answer to PING: %s", shown([]byte(answer)))
	}
	return r.role()
}

// role asks with ROLE and, where that is not allowed, with INFO.
func (r *redisDialogue) role() (finding, error) {
	answer, err := r.ask("ROLE")
	if err != nil {
		return finding{}, err
	}
	if answer != "" && answer[0] == '-' {
		info, err := r.ask("INFO", "replication")
		if err != nil {
			return finding{}, err
		}
		answer = redisInfoRole([]byte(strings.TrimPrefix(info, "$")))
	}
	switch answer {
	case "$master":
		return finding{role: RolePrimary}, nil
	case "$slave":
		return finding{role: RoleReplica, lag: lagUnknown}, nil
	}
	return finding{}, nil
}

// redisInfoRole finds the role in an answer to INFO, with "$" before it; "" where
// there is none.
func redisInfoRole(info []byte) string {
	for line := range bytes.Lines(info) {
		if role, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("role:")); ok {
			return "$" + string(role)
		}
	}
	return ""
}

// ask sends a command and reads its answer: the kind and the text of it. Of an array
// it reads the first element; so a command that gets one must be the last.
func (r *redisDialogue) ask(words ...string) (string, error) {
	b := fmt.Appendf(nil, "*%d\r\n", len(words))
	for _, w := range words {
		b = fmt.Appendf(b, "$%d\r\n%s\r\n", len(w), w)
	}
	if err := r.send(b); err != nil {
		return "", err
	}
	answer, err := r.answer()
	if err == nil && len(answer) > 1 && answer[0] == '*' && answer != "*0" && answer != "*-1" {
		return r.answer()
	}
	return answer, err
}

func (r *redisDialogue) answer() (string, error) {
	line, err := r.line()
	if err != nil {
		return "", err
	}
	if len(line) == 0 || !bytes.ContainsRune([]byte("+-:$*"), rune(line[0])) {
		return "", fmt.Errorf("unexpected answer %s: this is not Redis", shown(line))
	}
	if line[0] != '$' && line[0] != '*' {
		return string(line), nil
	}
	n, err := strconv.Atoi(string(line[1:]))
	if err != nil || n < -1 {
		return "", fmt.Errorf("cannot read the length in the answer %s", shown(line))
	}
	if line[0] == '*' || n == -1 {
		return string(line), nil
	}
	if n > maxCheckAnswer {
		return "", errCheckFlood
	}
	text, err := r.read(n + 2)
	if err != nil {
		return "", err
	}
	if !bytes.HasSuffix(text, []byte("\r\n")) {
		return "", errors.New("a string in the answer does not end where it should")
	}
	return "$" + string(text[:n]), nil
}

// redisErrorCode is the first word of an error, "" of another answer.
func redisErrorCode(answer string) string {
	if answer == "" || answer[0] != '-' {
		return ""
	}
	code, _, _ := strings.Cut(answer[1:], " ")
	return code
}
