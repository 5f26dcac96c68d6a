"""Stands in for Home Assistant's supervisor: the MQTT service, and the ingress as its api/ingress.py passes it on.

usage: supervisor.py ADDRESS_OF_THE_APP MQTT_PASSWORD
Needs aiohttp, and the addresses that app.sh makes. The first request for the broker is answered as while the
broker's app is still starting.
"""

import asyncio
import sys

from aiohttp import ClientSession, TCPConnector, WSMsgType, web

APP, PASSWORD = sys.argv[1:]
SUPERVISOR, HOME_ASSISTANT, TOKEN = "172.30.32.2", "172.30.32.1", "supervisor-token"
NOT_PASSED_ON = {
    "content-length", "content-encoding", "transfer-encoding", "sec-websocket-extensions",
    "sec-websocket-protocol", "sec-websocket-version", "sec-websocket-key",
}
asked = 0


async def mqtt(request):
    global asked
    if request.headers.get("Authorization") != f"Bearer {TOKEN}":
        return web.json_response({"result": "error", "message": "unauthorized"}, status=401)
    asked += 1
    if asked == 1:
        return web.json_response({"result": "error", "message": "Service not enabled"}, status=400)
    broker = {"host": "core-mosquitto", "port": 1883, "ssl": False, "protocol": "3.1.1",
              "username": "addons", "password": PASSWORD}
    return web.json_response({"result": "ok", "data": broker})


async def forward(source, target):
    async for message in source:
        if message.type == WSMsgType.TEXT:
            await target.send_str(message.data)
        elif message.type == WSMsgType.BINARY:
            await target.send_bytes(message.data)
        elif message.type == WSMsgType.PING:
            await target.ping(message.data)
        elif message.type == WSMsgType.PONG:
            await target.pong(message.data)


async def ingress(request):
    headers = {name: value for name, value in request.headers.items() if name.lower() not in NOT_PASSED_ON}
    headers["X-Forwarded-For"] = f"{request.headers.get('X-Forwarded-For')}, {HOME_ASSISTANT}"
    headers["X-Ingress-Path"] = "/api/hassio_ingress/" + request.match_info["token"]
    url = f"http://{APP}:8099/{request.match_info['path']}"
    if request.query_string:
        url += "?" + request.query_string
    session = request.app["session"]
    if request.headers.get("Upgrade", "").lower() == "websocket":
        server = web.WebSocketResponse(autoclose=False, autoping=False)
        await server.prepare(request)
        async with session.ws_connect(url, headers=headers, autoclose=False, autoping=False) as client:
            both = [forward(server, client), forward(client, server)]
            tasks = [asyncio.create_task(one) for one in both]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return server
    body = await request.read()
    async with session.request(request.method, url, headers=headers, data=body, allow_redirects=False) as answer:
        left_out = ("transfer-encoding", "content-length", "content-encoding")
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in left_out}
        return web.Response(status=answer.status, headers=kept, body=await answer.read())


async def main():
    app = web.Application()
    app["session"] = ClientSession(connector=TCPConnector(local_addr=(SUPERVISOR, 0)))
    app.router.add_get("/services/mqtt", mqtt)
    app.router.add_route("*", "/api/hassio_ingress/{token}/{path:.*}", ingress)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, SUPERVISOR, 80).start()
    await web.TCPSite(runner, HOME_ASSISTANT, 8123).start()
    await asyncio.Event().wait()


asyncio.run(main())
