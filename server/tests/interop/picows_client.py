"""PyPI `picows` against the server: python picows_client.py URL"""

import asyncio
import sys

from picows import WSHandshakeError, WSListener, WSMsgType, ws_connect

from talk import ECHO_SIZES, PATIENCE_S, PING, REPLY, SUBPROTOCOL, WELCOME, echo, frames, hello, pattern, pong

URL = sys.argv[1]
OFFER = {"Sec-WebSocket-Protocol": SUBPROTOCOL}


class Listener(WSListener):
    def __init__(self):
        super().__init__()
        self.inbox = asyncio.Queue()
        self.pongs = asyncio.Queue()
        self.closed = asyncio.get_running_loop().create_future()

    def on_ws_frame(self, transport, frame):
        if frame.msg_type == WSMsgType.BINARY:
            for got in frames(frame.get_payload_as_bytes()):
                if got[0] == PING:
                    transport.send(WSMsgType.BINARY, pong(got[1]))
                self.inbox.put_nowait(got)
        elif frame.msg_type == WSMsgType.PONG:
            self.pongs.put_nowait(frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.CLOSE:
            if not self.closed.done():
                self.closed.set_result(frame.get_close_code())
            if not transport.is_close_frame_sent:
                transport.send_close(frame.get_close_code())

    async def reply(self, call):
        while True:
            frame = await self.inbox.get()
            if frame[0] == REPLY and frame[1] == call:
                return frame[2]["data"]


async def open_connection():
    return await ws_connect(Listener, URL, extra_headers=OFFER)


async def talks():
    transport, listener = await open_connection()
    transport.send(WSMsgType.BINARY, hello())
    welcome = await listener.inbox.get()
    assert welcome[0] == WELCOME, welcome

    call = 0
    for size in ECHO_SIZES:
        call += 1
        transport.send(WSMsgType.BINARY, echo(call, pattern(size)))
        assert await listener.reply(call) == pattern(size), size

    transport.send_ping(b"are you there?")
    assert await listener.pongs.get() == b"are you there?"

    call += 1
    whole = echo(call, pattern(1000))
    for at in range(0, len(whole), 100):
        kind = WSMsgType.BINARY if at == 0 else WSMsgType.CONTINUATION
        last = at + 100 >= len(whole)
        transport.send(kind, whole[at : at + 100], fin=last)
        if not last:
            transport.send_ping(b"between")
    assert await listener.reply(call) == pattern(1000)

    transport.send_close(4000, b"bye")
    assert await listener.closed == 4000
    await transport.wait_disconnected()


async def text_is_refused():
    transport, listener = await open_connection()
    transport.send(WSMsgType.TEXT, b"text")
    assert await listener.closed == 1003
    transport.disconnect()


async def reserved_bits_are_refused():
    transport, listener = await open_connection()
    transport.send(WSMsgType.BINARY, hello(), rsv1=True)
    assert await listener.closed == 1002
    transport.disconnect()


async def the_subprotocol_is_required():
    try:
        await ws_connect(Listener, URL)
    except WSHandshakeError as refused:
        assert "400" in str(refused), refused
    else:
        raise AssertionError("connected without a subprotocol")


async def main():
    for test in (talks, text_is_refused, reserved_bits_are_refused, the_subprotocol_is_required):
        await asyncio.wait_for(test(), PATIENCE_S)
    print("ok")


asyncio.run(main())
