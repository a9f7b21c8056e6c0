package conf

import "strconv"

// connectTarget is what a CONNECT may name: a host as in a route, and a port.
func connectTarget() kind[string] {
	return word("host and port", "hosts and ports", func(s string) (string, error) {
		host, port, err := splitAddr(s)
		switch {
		case err != nil:
			return "", err
		case port == 0:
			return "", bad("%q: expected a port from 1 to 65535", s)
		case host == "":
			return "", bad("%q has no host: expected \"host:port\"", s)
		case host == "*":
			return "", bad("%q would be every host; name them, as in \"*.example.com:%d\"", s, port)
		}
		host, err = parseHostPattern(host)
		if err != nil {
			return "", err
		}
		return host + ":" + strconv.Itoa(int(port)), nil
	})
}
