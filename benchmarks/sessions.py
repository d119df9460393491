"""Readers of a live page without a browser: websocket sessions that speak Streamlit's protocol.

A browser on each of fifty pages would take the cores that are to be measured. A session here does
what Streamlit's page does: it asks for the page, and for each of its fragments when that is due.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

MAX_MESSAGE_BYTES = 64 << 20
EARLY = ForwardMsg.FINISHED_EARLY_FOR_RERUN  # the whole page comes next


@dataclass
class Reader:
    """One open page. `taken_s` is each rerun's time, from its request to the script's end; before
    the one numbered `settled`, others were still opening theirs."""

    page: str
    query: str
    every_s: float
    taken_s: list[float] = field(default_factory=list)
    settled: int = 0
    _page: str = ""
    _fragments: list[str] = field(default_factory=list)

    async def read(self, url: str, until: float, offset_s: float) -> None:
        """Open the page after `offset_s`, and poll until then (of `time.monotonic`)."""
        await asyncio.sleep(offset_s)
        async with connect(
            url,
            subprotocols=[Subprotocol("streamlit")],
            max_size=MAX_MESSAGE_BYTES,
            compression=None,
        ) as socket:
            await self._run(socket, self._request())
            while time.monotonic() < until:
                due = time.monotonic() + self.every_s
                for fragment in list(self._fragments):
                    if fragment not in self._fragments:
                        continue  # the page has been drawn anew meanwhile, with others
                    begun = time.perf_counter()
                    await self._run(socket, self._request(fragment))
                    self.taken_s.append(time.perf_counter() - begun)
                await asyncio.sleep(max(0.0, due - time.monotonic()))

    def _request(self, fragment: str = "") -> BackMsg:
        message = BackMsg()
        state = message.rerun_script
        state.query_string, state.page_name = self.query, self.page
        state.page_script_hash = self._page if fragment else ""
        state.fragment_id, state.is_auto_rerun = fragment, bool(fragment)
        state.context_info.timezone = "UTC"
        return message

    async def _run(self, socket: ClientConnection, request: BackMsg) -> None:
        """Send it, and take what comes until the script is through."""
        await socket.send(request.SerializeToString())
        while True:
            answer = await socket.recv(decode=False)
            message = ForwardMsg.FromString(
                answer if isinstance(answer, bytes) else answer.encode()
            )
            kind = message.WhichOneof("type")
            if kind == "new_session":
                if not message.metadata.run.fragment_ids:
                    self._fragments.clear()  # the whole page: each of its fragments comes anew
            elif kind == "navigation":
                self._page = message.navigation.page_script_hash
            elif kind == "auto_rerun":
                self._add(message.auto_rerun.fragment_id)
            elif kind == "script_finished" and message.script_finished != EARLY:
                return

    def _add(self, fragment: str) -> None:
        if fragment not in self._fragments:
            self._fragments.append(fragment)
