# Varnish in front of {{.Origin}} as its documentation advises: the built-in rules
# decide what may be kept, and the origin, which says nothing about it, is believed
# for an hour. Storage and threads are on its command line.
vcl 4.1;

backend origin {
	.host = "{{.OriginHost}}";
	.port = "{{.OriginPort}}";
}

sub vcl_backend_response {
	if (!beresp.http.Cache-Control && !beresp.http.Expires) {
		set beresp.ttl = 1h;
	}
}
