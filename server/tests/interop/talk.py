"""The protocol as far as these tests speak it, written after docs/protocol.md with a MessagePack library only."""

import io

import msgpack

SUBPROTOCOL = "pitturu.v1"
ECHO_SIZES = [0, 1, 125, 126, 127, 61440]
PATIENCE_S = 20

HELLO, CALL, PONG, WELCOME, REPLY, PING = 1, 2, 5, 8, 9, 13
ECHO = 0


def hello():
    return msgpack.packb([HELLO, {"v": 1, "sdk": "interop/0"}])


def echo(call, data):
    return msgpack.packb([CALL, call, ECHO, {"data": data}])


def pong(nonce):
    return msgpack.packb([PONG, nonce])


def frames(message):
    return list(msgpack.Unpacker(io.BytesIO(message), max_buffer_size=0))


def pattern(length):
    """Bytes that show when they are cut, moved or repeated."""
    return bytes(index * 31 % 251 for index in range(length))
