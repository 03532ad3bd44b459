"""A second independent client on the simulated datacenters: Kurigram, unmodified.

Reads a JSON object from standard input (ports, RSA key, people), does what an account
does, and fails with a traceback at the first thing that is not as on Telegram. Telethon
is the first witness; this one also follows a migration and sees a new device come.
"""

import asyncio
import hashlib
import json
import sys

import rsa as pkcs1
from pyrogram import Client, errors, filters, raw
from pyrogram.connection import Connection
from pyrogram.crypto import rsa
from pyrogram.handlers import DeletedMessagesHandler, EditedMessageHandler, MessageHandler
from pyrogram.handlers import RawUpdateHandler
from pyrogram.raw.core.primitives import Bytes

WORLD = json.load(sys.stdin)
PATIENCE = 20
TELEGRAM = 777000


def step(name):
    print(f"kurigram: {name}", flush=True)


def learn_key(pem):
    """Takes our RSA key for one of Telegram's."""
    key = pkcs1.PublicKey.load_pkcs1(pem.encode())
    parts = [n.to_bytes((n.bit_length() + 7) // 8, "big") for n in (key.n, key.e)]
    digest = hashlib.sha1(b"".join(Bytes(part) for part in parts)).digest()
    fingerprint = int.from_bytes(digest[-8:], "little", signed=True)
    rsa.server_public_keys[fingerprint] = rsa.PublicKey(key.n, key.e)


class Loopback(Connection):
    """Goes to our first datacenter instead of Telegram's; the others are learnt from it."""

    def __init__(self, dc_id, server_address, port, *args, **kwargs):
        if server_address != "127.0.0.1":
            server_address, port = "127.0.0.1", WORLD["port"]
        super().__init__(dc_id, server_address, port, *args, **kwargs)


class Device:
    """A client, and what comes to it."""

    def __init__(self, model):
        self.client = Client(
            model,
            api_id=1,
            api_hash="hash",
            device_model=model,
            in_memory=True,
            # No automatic waiting: what goes wrong must be seen.
            sleep_threshold=0,
            connection_factory=Loopback,
        )
        kinds = ("new", "edited", "deleted", "raw")
        self.inbox = {kind: asyncio.Queue() for kind in kinds}

        def into(kind):
            async def put(_, event, *__):
                await self.inbox[kind].put(event)

            return put

        self.client.add_handler(MessageHandler(into("new"), filters.incoming))
        self.client.add_handler(EditedMessageHandler(into("edited"), filters.incoming))
        self.client.add_handler(DeletedMessagesHandler(into("deleted")))
        self.client.add_handler(RawUpdateHandler(into("raw")), group=1)

    async def next(self, kind="new"):
        return await asyncio.wait_for(self.inbox[kind].get(), PATIENCE)

    async def sign_in(self, person, code):
        """Signs in; `code` is awaited after it was sent."""
        client, phone = self.client, person["phone"]
        assert not await client.connect()
        sent = await client.send_phone_number_code(phone)
        code = await code()
        try:
            wrong = "0" if code[0] != "0" else "1"
            await client.sign_in(phone, sent.phone_code_hash, wrong * 5)
            raise AssertionError("a wrong code was accepted")
        except errors.PhoneCodeInvalid:
            pass
        try:
            me = await client.sign_in(phone, sent.phone_code_hash, code)
            assert "password" not in person, "the password was not asked for"
        except errors.SessionPasswordNeeded:
            try:
                await client.check_password("wrong")
                raise AssertionError("a wrong password was accepted")
            except errors.PasswordHashInvalid:
                pass
            me = await client.check_password(person["password"])
        assert me.id == person["id"] and me.is_self, me
        # As `Client.start` goes on after signing in.
        await client.invoke(raw.functions.updates.GetState())
        client.me = await client.get_me()
        await client.initialize()

    async def stop(self):
        await self.client.terminate()
        await self.client.disconnect()


def known(person):
    async def code():
        return person["code"]

    return code


async def chat(alice, bob):
    step("chat: send, reply, edit, history, delete")
    sent = await alice.client.send_message("bob", "hello **bob**")
    got = await bob.next()
    assert got.text == "hello bob" and got.from_user.username == "alice", got
    assert got.entities[0].offset == 6, got
    await got.reply("hello alice")
    reply = await alice.next()
    assert reply.text == "hello alice" and reply.reply_to_message_id == sent.id, reply

    await alice.client.edit_message_text("bob", sent.id, "hello robert")
    edited = await bob.next("edited")
    assert edited.text == "hello robert" and edited.id == got.id, edited

    async def history(device, peer):
        return [m.text async for m in device.client.get_chat_history(peer, limit=10)]

    assert await history(alice, "bob") == ["hello alice", "hello robert"]
    assert await alice.client.delete_messages("bob", sent.id) == 1
    deleted = await bob.next("deleted")
    assert [m.id for m in deleted] == [got.id], deleted
    assert await history(bob, "alice") == ["hello alice"]


async def second_device(alice):
    step("a second device signs in by the code that the first is sent")

    async def code():
        message = await alice.next()
        assert message.from_user.id == TELEGRAM, message
        assert message.text.startswith("Login code: "), message.text
        return message.text.removeprefix("Login code: ").split(".")[0]

    second = Device("second phone")
    await second.sign_in(WORLD["alice"], code)
    word = await alice.next()
    assert word.text.startswith("New login. ") and "second phone" in word.text, word.text
    while not isinstance(update := await alice.next("raw"), raw.types.UpdateNewAuthorization):
        pass
    assert "second phone" in update.device, update

    devices = await alice.client.invoke(raw.functions.account.GetAuthorizations())
    devices = {device.device_model: device for device in devices.authorizations}
    assert devices["first phone"].current and devices["first phone"].hash == 0, devices
    assert devices["second phone"].hash == update.hash, devices
    try:
        reset = raw.functions.account.ResetAuthorization(hash=update.hash)
        await alice.client.invoke(reset)
        raise AssertionError("a device that just signed in ended another")
    except errors.FreshResetAuthorisationForbidden:
        pass
    await second.client.log_out()
    devices = await alice.client.invoke(raw.functions.account.GetAuthorizations())
    assert len(devices.authorizations) == 1, devices


async def main():
    learn_key(WORLD["public_key"])
    alice, bob = Device("first phone"), Device("bob's phone")
    step("key exchange, migration, another key exchange, and signing in by code")
    await alice.sign_in(WORLD["alice"], known(WORLD["alice"]))
    assert await alice.client.storage.dc_id() == WORLD["alice"]["home"]
    step("signing in by code and password")
    await bob.sign_in(WORLD["bob"], known(WORLD["bob"]))
    await chat(alice, bob)
    await second_device(alice)
    await bob.stop()
    await alice.client.log_out()
    step("done")


asyncio.run(asyncio.wait_for(main(), 120))
