package sniff

import "encoding/binary"

// ProxyTLS is what a header of version 2 says of TLS between a client and the proxy
// (PROXY protocol section 2.2.5).
type ProxyTLS struct {
	Version, Cipher string // "TLSv1.3", as OpenSSL writes it; the cipher by its name of IANA
	Verified        bool   // the client showed a certificate, which was verified
	CommonName      string // of that certificate
}

// The parts of the value: a byte of flags, four that are 0 where a certificate was
// verified, and TLVs.
const (
	proxyClientTLS  = 0x01 // the client speaks TLS
	proxyClientCert = 0x02 // it showed a certificate on this connection
	proxyClientSess = 0x04 // or once in this session

	tlvTLSVersion = 0x21
	tlvTLSName    = 0x22
	tlvTLSCipher  = 0x23
)

// maxProxyName bounds the common name, so that it leaves room for the rest of the header.
const maxProxyName = 128

func (t *ProxyTLS) append(b []byte) []byte {
	flags, verify := byte(proxyClientTLS), uint32(1)
	if t.Verified {
		flags, verify = flags|proxyClientCert|proxyClientSess, 0
	}
	b = binary.BigEndian.AppendUint32(append(b, flags), verify)
	b = appendSubTLV(b, tlvTLSVersion, t.Version)
	if len(t.CommonName) <= maxProxyName {
		b = appendSubTLV(b, tlvTLSName, t.CommonName)
	}
	return appendSubTLV(b, tlvTLSCipher, t.Cipher)
}

// appendSubTLV appends a TLV within a TLV; an empty one is left out.
func appendSubTLV(b []byte, kind byte, value string) []byte {
	if value == "" {
		return b
	}
	b = binary.BigEndian.AppendUint16(append(b, kind), uint16(len(value)))
	return append(b, value...)
}
