package sniff

import "testing"

func TestPostgres(t *testing.T) {
	f := func(in string, kind PGKind, n int, v Verdict) {
		t.Helper()
		for at := range len(in) + 1 {
			k, m, w := Postgres([]byte(in[:at]))
			if w == NeedMore && at < len(in) {
				continue
			}
			if k != kind || w != v || w == Done && m != n {
				t.Fatalf("%d of %d bytes: got %v, %d, %v, want %v, %d, %v", at, len(in), k, m, w, kind, n, v)
			}
		}
	}
	f("", PGNone, 0, NeedMore)
	f("\x00\x00\x00\x08\x04\xd2\x16", PGNone, 0, NeedMore)
	f("\x00\x00\x00\x08\x04\xd2\x16\x2f", PGSSLRequest, 8, Done)
	f("\x00\x00\x00\x08\x04\xd2\x16\x2fmore", PGSSLRequest, 8, Done)
	f("\x00\x00\x00\x08\x04\xd2\x16\x30", PGGSSENCRequest, 8, Done)
	f("\x00\x00\x00\x10\x04\xd2\x16\x2e12345678", PGCancel, 16, Done)
	f("\x00\x00\x01\x0c\x04\xd2\x16\x2e", PGCancel, 268, Done)
	f("\x00\x00\x00\x15\x00\x03\x00\x00user\x00", PGStartup, 21, Done)
	f("\x00\x00\x27\x10\x00\x03\x00\x02", PGStartup, 10000, Done)
	f("\x16\x03\x01", PGDirectTLS, 0, Done)

	f("\x00\x00\x00\x09\x04\xd2\x16\x2f", PGNone, 0, Malformed) // length of an SSLRequest
	f("\x00\x00\x00\x0f\x04\xd2\x16\x2e", PGNone, 0, Malformed) // no key
	f("\x00\x00\x01\x0d\x04\xd2\x16\x2e", PGNone, 0, Malformed) // key too long
	f("\x00\x00\x00\x08\x00\x03\x00\x00", PGNone, 0, Malformed) // no parameters
	f("\x00\x00\x27\x11\x00\x03\x00\x00", PGNone, 0, Malformed) // too long
	f("\x00\x00\x00\x15\x00\x02\x00\x00", PGNone, 0, Malformed) // protocol 2
	f("\x00\x00\x00\x07", PGNone, 0, Malformed)
	f("GET / HTTP/1.1", PGNone, 0, Malformed)
}

func TestVerdictString(t *testing.T) {
	f := func(v Verdict, want string) {
		t.Helper()
		if v.String() != want {
			t.Fatalf("got %q, want %q", v.String(), want)
		}
	}
	f(NeedMore, "need_more")
	f(Done, "done")
	f(NotTLS, "not_tls")
	f(Malformed, "malformed")
	f(TooLarge, "too_large")
	f(Verdict(9), "verdict(9)")
}
