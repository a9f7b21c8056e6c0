// Package compress decides which responses are encoded on their way to a client, and
// encodes them.
//
// A Policy is the rules of one route. Judge holds a request and the head of its
// response against them and says which content coding the client gets, or why it gets
// the response as it is. Encoders lends an Encoder for that coding; what it makes goes
// to a Sink in large pieces. Only Close makes a stream complete: one that is given up
// before never decodes as a whole.
//
// Encoding costs memory and CPU, and both are bounded: Encoders lends within a budget
// of bytes, and a Governor lowers the levels while the process is short of CPU.
//
// Words: a coding is a content coding of RFC 9110 section 8.4.1; identity is none.
package compress
