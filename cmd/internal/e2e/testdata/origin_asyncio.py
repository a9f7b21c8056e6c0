"""An origin written on Python's asyncio streams: what a service without a framework sends.

It speaks like testdata/origin.py, in its own way: names of fields in lower case, no Date,
the head and each chunk in pieces of their own. The port of 127.0.0.1 is its argument.
"""

import asyncio
import gzip
import sys


def body(size):
    return bytes(i * 7 % 251 for i in range(251)) * (size // 251) + bytes(i * 7 % 251 for i in range(size % 251))


async def received(reader, fields):
    if fields.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(fields.get("content-length", 0)))
    data = b""
    while size := int((await reader.readline()).split(b";")[0], 16):
        data += await reader.readexactly(size)
        await reader.readline()
    while (await reader.readline()).strip():
        pass
    return data


async def send(writer, *parts):
    for part in parts:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(0)


async def send_chunked(writer, chunks, fields=b"", pause=0):
    await send(writer, b"HTTP/1.1 200 OK\r\n", fields, b"transfer-encoding: chunked\r\n\r\n")
    async for chunk in chunks:
        await send(writer, b"%X;note=1\r\n" % len(chunk), chunk, b"\r\n")
        await asyncio.sleep(pause)
    await send(writer, b"0\r\n", b"\r\n")


async def pieces(data):
    at, step = 0, 1
    while at < len(data):
        yield data[at : at + step]
        at, step = at + step, step * 3 % 65521


async def events(count):
    for i in range(count):
        yield b"data: %d\n\n" % i


async def exchange(reader, writer):
    line = await reader.readline()
    if not line:
        return False
    fields = {}
    while field := (await reader.readline()).strip():
        name, _, value = field.decode("latin-1").partition(":")
        fields[name.lower()] = value.strip().lower()
    data = await received(reader, fields)
    kind, _, size = line.split()[1].decode().strip("/").partition("/")
    size = int(size or 0)
    if kind == "chunked":
        await send_chunked(writer, pieces(body(size)))
    elif kind == "gzip":
        await send_chunked(writer, pieces(gzip.compress(body(size))), b"content-encoding: gzip\r\n")
    elif kind == "events":
        await send_chunked(writer, events(size), b"content-type: text/event-stream\r\n", 0.01)
    elif kind == "close":
        await send(writer, b"HTTP/1.1 200 \r\nconnection: close\r\n\r\n", body(size))
        return False
    else:
        data = data if kind == "echo" else body(size)
        await send(writer, b"HTTP/1.1 200 OK\r\n", b"content-length: %d\r\n\r\n" % len(data), data)
    return True


async def connection(reader, writer):
    try:
        while await exchange(reader, writer):
            pass
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    writer.close()


async def main():
    server = await asyncio.start_server(connection, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


asyncio.run(main())
