package l7

import "testing"

// TestIsStill: a server is not, as long as a goroutine serves a connection.
func TestIsStill(t *testing.T) {
	r := newRig(t, plain, answers(t, "a").addr)
	c := r.dial()
	c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbo") // no lane waits for the rest
	eventually(t, "a goroutine to read the body", func() bool { return !r.server.IsStill() })
	c.send("dy")
	if _, body, err := c.response("POST"); body != "body" || err != nil {
		t.Errorf("got %q, %v", body, err)
	}
	eventually(t, "the connection to be parked", r.server.IsStill)
}
