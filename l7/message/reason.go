package message

// reason is why a message is refused. Zero means that it is not.
type reason uint8

const (
	ok reason = iota
	badStart
	bareLF
	obsFold
	noColon
	emptyName
	spaceInName
	badName
	badValue
	headTooLarge
	tooManyFields
	badMethod
	badTarget
	targetTooLong
	methodRefused
	badConnect
	connectBody
	badVersion
	wrongVersion
	badEscape
	encodedByte
	backslash
	dotSegment
	fragment
	badStatus
	noHost
	manyHosts
	badHost
	hostMismatch
	badLength
	manyLengths
	lengthAndCoding
	badCoding
	manyCodings
	lastCoding
	badTrailer
	codingInOld
	badConnection
	protectedOption
	badExpect
	badChunk
	chunkExtension
	noChunkEnd
	truncated
)

// reasons holds the stable name, the text and the status of a request refused for
// it. A response is always 502 (RFC 9110 section 15.6.3).
var reasons = [...]struct {
	name   string
	text   string
	status int
}{
	ok:              {"ok", "no error", 0},
	badStart:        {"bad_start_line", "the start line is malformed", 400},
	bareLF:          {"bare_lf", "a line ends in LF without CR", 400},
	obsFold:         {"obs_fold", "a field is folded over several lines", 400},
	noColon:         {"no_colon", "a field line has no colon", 400},
	emptyName:       {"empty_name", "a field has no name", 400},
	spaceInName:     {"space_in_name", "there is white space in or after a field name", 400},
	badName:         {"bad_name", "a field name has an octet that is not allowed", 400},
	badValue:        {"bad_value", "a field value has a control octet", 400},
	headTooLarge:    {"head_too_large", "the head is larger than the limit", 431},
	tooManyFields:   {"too_many_fields", "there are more fields than the limit", 431},
	badMethod:       {"bad_method", "the method is not a token of at most 32 octets", 400},
	badTarget:       {"bad_target", "the request target is malformed", 400},
	targetTooLong:   {"target_too_long", "the request target is longer than the limit", 414},
	methodRefused:   {"method_refused", "CONNECT and TRACE are not served", 405},
	badConnect:      {"bad_connect", "the target of CONNECT is not a host and a port from 1 to 65535", 400},
	connectBody:     {"connect_body", "CONNECT has a body", 400},
	badVersion:      {"bad_version", "the protocol version is malformed", 400},
	wrongVersion:    {"wrong_version", "the protocol version is neither HTTP/1.0 nor HTTP/1.1", 505},
	badEscape:       {"bad_escape", "a percent sign in the path is not followed by two hex digits", 400},
	encodedByte:     {"encoded_octet", "the path encodes a slash, backslash, semicolon or NUL", 400},
	backslash:       {"backslash", "the path has a backslash", 400},
	dotSegment:      {"dot_segment", "the path has a dot segment", 400},
	fragment:        {"fragment", "the request target has a fragment", 400},
	badStatus:       {"bad_status_line", "the status line is malformed", 400},
	noHost:          {"no_host", "there is no Host field", 400},
	manyHosts:       {"many_hosts", "there is more than one Host field", 400},
	badHost:         {"bad_host", "the host is not valid", 400},
	hostMismatch:    {"host_mismatch", "the Host field differs from the request target", 400},
	badLength:       {"bad_length", "Content-Length is not a plain decimal number", 400},
	manyLengths:     {"many_lengths", "there is more than one Content-Length field", 400},
	lengthAndCoding: {"length_and_coding", "there is a Content-Length beside a Transfer-Encoding", 400},
	badCoding:       {"bad_coding", "there is a transfer coding before chunked", 501},
	manyCodings:     {"many_codings", "Transfer-Encoding is malformed or names chunked twice", 400},
	lastCoding:      {"coding_not_chunked", "the last transfer coding is not chunked", 400},
	badTrailer:      {"bad_trailer", "Trailer names a framing field", 400},
	codingInOld:     {"coding_in_http10", "there is a Transfer-Encoding in an HTTP/1.0 message", 400},
	badConnection:   {"bad_connection", "the Connection field is malformed or has more than 32 options", 400},
	protectedOption: {"protected_option", "Connection names a framing or identity field", 400},
	badExpect:       {"bad_expect", "the expectation is not 100-continue", 417},
	badChunk:        {"bad_chunk", "a chunk size line is malformed", 400},
	chunkExtension:  {"chunk_extension", "the chunk extensions are larger than 4 KiB", 400},
	noChunkEnd:      {"no_chunk_end", "the data of a chunk is not followed by CRLF", 400},
	truncated:       {"truncated", "the body ended early", 400},
}

// from makes the error for r; it is the only place that allocates one.
func (r reason) from(side Side) error {
	if r == ok {
		return nil
	}
	e := &Error{Side: side, Status: reasons[r].status, Reason: reasons[r].name, Text: reasons[r].text}
	switch side {
	case Upstream:
		e.Status = 502
	case Internal:
		e.Status = 500
	case Client:
	}
	return e
}
