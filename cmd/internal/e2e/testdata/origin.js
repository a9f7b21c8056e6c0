// An origin of Node's own HTTP server. It speaks like testdata/origin.py; /chunked/N ends
// with a trailer. The port of 127.0.0.1 is its argument.
'use strict';
const http = require('http');
const zlib = require('zlib');

const body = size => Buffer.from(Uint8Array.from({length: size}, (_, i) => (i % 251) * 7 % 251));

const answers = {
  bytes: (res, size) => res.writeHead(200, {'Content-Length': size}).end(body(size)),
  echo: (res, _, data) => res.writeHead(200, {'Content-Length': data.length}).end(data),
  close: (res, size) => {
    res.useChunkedEncodingByDefault = false;
    res.writeHead(200, {'Connection': 'close'}).end(body(size));
  },
  chunked: (res, size) => {
    res.writeHead(200, {'Trailer': 'X-Size'});
    const data = body(size);
    for (let at = 0, step = 1; at < size; at += step, step = step * 3 % 65521) {
      res.write(data.subarray(at, at + step));
    }
    res.addTrailers({'X-Size': String(size)});
    res.end();
  },
  gzip: (res, size) => {
    res.writeHead(200, {'Content-Encoding': 'gzip'});
    const z = zlib.createGzip();
    z.pipe(res);
    z.end(body(size));
  },
  events: (res, count) => {
    res.writeHead(200, {'Content-Type': 'text/event-stream'});
    let i = 0;
    const timer = setInterval(() => {
      res.write(`data: ${i}\n\n`);
      if (++i === count) {
        clearInterval(timer);
        res.end();
      }
    }, 10);
  },
};

http.createServer((req, res) => {
  const parts = [];
  req.on('data', part => parts.push(part));
  req.on('end', () => {
    const [kind, size] = req.url.slice(1).split('/');
    answers[kind](res, Number(size || 0), Buffer.concat(parts));
  });
}).listen(Number(process.argv[2]), '127.0.0.1');
