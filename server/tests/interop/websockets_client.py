"""PyPI `websockets` against the server: python websockets_client.py URL"""

import asyncio
import sys

import websockets
from websockets.asyncio.client import connect

from talk import ECHO_SIZES, PATIENCE_S, PING, REPLY, SUBPROTOCOL, WELCOME, echo, frames, hello, pattern, pong

URL = sys.argv[1]


async def reply(socket, call):
    while True:
        message = await socket.recv()
        assert isinstance(message, bytes), "the server sends binary messages only"
        for frame in frames(message):
            if frame[0] == PING:
                await socket.send(pong(frame[1]))
            if frame[0] == REPLY and frame[1] == call:
                return frame[2]["data"]


async def talks():
    async with connect(URL, subprotocols=[SUBPROTOCOL], max_size=1 << 20) as socket:
        assert socket.subprotocol == SUBPROTOCOL
        assert not socket.protocol.extensions, "no compression is agreed"
        await socket.send(hello())
        first = frames(await socket.recv())[0]
        assert first[0] == WELCOME and first[1]["v"] == 1, first

        call = 0
        for size in ECHO_SIZES:
            call += 1
            await socket.send(echo(call, pattern(size)))
            assert await reply(socket, call) == pattern(size), size

        await (await socket.ping(b"are you there?"))

        call += 1
        whole = echo(call, pattern(1000))
        parts = [whole[at : at + 100] for at in range(0, len(whole), 100)]
        await socket.send(parts)
        assert await reply(socket, call) == pattern(1000)

        await socket.close(4000, "bye")
        assert socket.close_code == 4000, socket.close_code


async def text_is_refused():
    async with connect(URL, subprotocols=[SUBPROTOCOL]) as socket:
        await socket.send("text")
        try:
            await socket.recv()
        except websockets.ConnectionClosed as closed:
            assert closed.rcvd.code == 1003, closed
        else:
            raise AssertionError("text was taken")


async def the_subprotocol_is_required():
    try:
        async with connect(URL):
            raise AssertionError("connected without a subprotocol")
    except websockets.InvalidStatus as refused:
        assert refused.response.status_code == 400
        assert b"pitturu.v1" in refused.response.body


async def main():
    for test in (talks, text_is_refused, the_subprotocol_is_required):
        await asyncio.wait_for(test(), PATIENCE_S)
    print("ok")


asyncio.run(main())
