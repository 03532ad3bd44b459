"""The bench's peer: a Telethon + hvac bot that does what vaultgram does in chat.

Reads its settings as a JSON object from standard input, prints "ready", and answers
/get_secret PATH from allowlisted people with the secret's fields, until it is killed.
"""

import asyncio
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import hvac
from telethon import TelegramClient, events
from telethon.crypto import rsa
from telethon.sessions import MemorySession

SETTINGS = json.load(sys.stdin)
ALLOWED = frozenset(SETTINGS["allowed"])
COMMAND_AGE = 60


async def main():
    rsa.add_key(SETTINGS["public_key"], old=False)
    session = MemorySession()
    session.set_dc(SETTINGS["dc"], "127.0.0.1", SETTINGS["port"])
    client = TelegramClient(session, 1, "hash")
    await client.connect()
    code = await client.send_code_request(SETTINGS["phone"])
    await client.sign_in(
        SETTINGS["phone"], SETTINGS["code"], phone_code_hash=code.phone_code_hash
    )
    await client.get_dialogs()

    vault = hvac.Client(url=SETTINGS["vault"], token=SETTINGS["token"])
    # hvac blocks: threads keep it from stopping the event loop.
    pool = ThreadPoolExecutor(max_workers=8)
    loop = asyncio.get_running_loop()

    def read(path):
        answer = vault.secrets.kv.v2.read_secret_version(
            path=path, raise_on_deleted_version=True
        )
        fields = answer["data"]["data"]
        return "\n".join(f"{name}: {value}" for name, value in fields.items())

    @client.on(events.NewMessage(incoming=True, pattern=r"^/get_secret (\S+)$"))
    async def get_secret(event):
        if event.sender_id not in ALLOWED:
            return
        if time.time() - event.message.date.timestamp() > COMMAND_AGE:
            return
        path = event.pattern_match.group(1)
        await event.respond(await loop.run_in_executor(pool, read, path))

    print("ready", flush=True)
    await client.run_until_disconnected()


asyncio.run(main())
