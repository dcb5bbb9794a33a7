"""Debian's python3-socketio against one node: the synchronous client and the
asyncio one join a room, publish to each other, get acks and binary. Prints JSON.
"""
import asyncio
import json
import sys
import threading
import time

import socketio

options = json.loads(sys.argv[1])
transports = options["transports"]


def until(what, ok, limit=10):
    end = time.monotonic() + limit
    while not ok():
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.01)


def collector(client, got):
    client.on("m", lambda *args: got.append(list(args)))


async def asyncio_client(ready, stop, got, results):
    client = socketio.AsyncClient()
    collector(client, got)
    await client.connect(options["url"], transports=transports)
    results["async join"] = await client.call("join", "room", timeout=10)
    results["async transport"] = client.transport()
    ready.set()
    while not any(m[0] == "from sync" for m in got):
        await asyncio.sleep(0.01)
    results["async publish"] = await client.call("publish", ("room", "m", "from async", {"b": b"\x00\x01\xff"}), timeout=10)
    while not stop.is_set():
        await asyncio.sleep(0.01)
    await client.disconnect()


def main():
    results, sync_got, async_got = {}, [], []
    ready, stop = threading.Event(), threading.Event()
    failed = []

    def run():
        try:
            asyncio.run(asyncio_client(ready, stop, async_got, results))
        except Exception as e:  # told to the test
            failed.append(repr(e))
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait(20)
    client = socketio.Client()
    collector(client, sync_got)
    client.connect(options["url"], transports=transports)
    results["sync join"] = client.call("join", "room", timeout=10)
    results["sync transport"] = client.transport()
    results["sync publish"] = client.call("publish", ("room", "m", "from sync", b"\x01\x02"), timeout=10)
    until("the asyncio client's answer", lambda: failed or len(sync_got) == 1)
    for n in range(options["count"]):
        client.emit("publish", ("room", "m", n))
        # python-engineio refuses a polling payload of more than 16 packets, which
        # it gets from any server that sends all that waits.
        until("what was sent arrives", lambda: failed or len(async_got) > n - 10)
    until("all messages", lambda: failed or len(async_got) == 1 + options["count"])
    stop.set()
    client.disconnect()
    thread.join(20)
    assert not failed, failed
    assert sync_got == [["from async", {"b": b"\x00\x01\xff"}]], sync_got
    assert async_got[0] == ["from sync", b"\x01\x02"], async_got[:1]
    assert [m[0] for m in async_got[1:]] == list(range(options["count"])), async_got[1:5]
    print(json.dumps(results))


main()
