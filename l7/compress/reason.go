package compress

// Reason says why a response is sent as it is. The zero value says that it is encoded.
type Reason uint8

// The reasons. Those before notAccepted are properties of the response: no client
// gets it encoded.
const (
	Encoded     Reason = iota
	NoBody             // HEAD aside: 1xx, 204, 205, 304
	Partial            // 206, or Content-Range
	Coded              // the server has encoded it already
	NoTransform        // Cache-Control: no-transform, of the request or the response
	Type               // the media type is not in the list
	Small              // shorter than min_size
	SetsCookie         // it has Set-Cookie
	NotAccepted        // the client accepts none of the codings, or identity more
	Old                // the client speaks HTTP/1.0, which has no chunked framing
	Ranged             // the request has Range
	CrossSite          // the request has Cookie and comes from another site
	Busy               // the memory for encoders is used up
	numReasons
)

var reasons = [numReasons]string{
	"", "no_body", "partial", "encoded", "no_transform", "type", "small", "set_cookie",
	"not_accepted", "http_1_0", "range", "cross_site", "memory",
}

// Reasons are all but Encoded, for who prepares something for each.
func Reasons() []Reason {
	all := make([]Reason, 0, numReasons-1)
	for r := Encoded + 1; r < numReasons; r++ {
		all = append(all, r)
	}
	return all
}

// String returns the word for logs and metrics, "" for Encoded.
func (r Reason) String() string {
	if r < numReasons {
		return reasons[r]
	}
	return "reason(?)"
}
