"""An independent client on the simulated datacenter: Telethon, unmodified.

Reads a JSON object from standard input (address, RSA key, people, chats), does what
an account does, and fails with a traceback at the first thing that is not as on
Telegram. It shows that the datacenter follows the protocol, and not only the reading
of it that its own code and grammers share.
"""

import asyncio
import json
import sys

from telethon import TelegramClient, errors, events
from telethon.crypto import rsa
from telethon.network import ConnectionTcpAbridged, ConnectionTcpFull
from telethon.sessions import MemorySession

WORLD = json.load(sys.stdin)
PATIENCE = 20


def step(name):
    print(f"witness: {name}", flush=True)


def new_client(connection):
    session = MemorySession()
    session.set_dc(WORLD["dc"], "127.0.0.1", WORLD["port"])
    # No automatic waiting or retrying: what goes wrong must be seen.
    return TelegramClient(
        session,
        1,
        "hash",
        connection=connection,
        catch_up=True,
        flood_sleep_threshold=0,
        request_retries=1,
    )


class Inbox:
    """Events of one client, to be waited for one by one."""

    def __init__(self, client, builder):
        self.queue = asyncio.Queue()
        client.add_event_handler(self.queue.put, builder)

    async def next(self):
        return await asyncio.wait_for(self.queue.get(), PATIENCE)

    async def texts(self, count):
        return sorted([(await self.next()).raw_text for _ in range(count)])


async def sign_in(client, person):
    await client.connect()
    assert not await client.is_user_authorized()
    sent = await client.send_code_request(person["phone"])
    wrong = "0" if person["code"][0] != "0" else "1"
    try:
        await client.sign_in(person["phone"], wrong * 5, phone_code_hash=sent.phone_code_hash)
        raise AssertionError("a wrong code was accepted")
    except errors.PhoneCodeInvalidError:
        pass
    code = {"phone_code_hash": sent.phone_code_hash}
    if "password" not in person:
        return await client.sign_in(person["phone"], person["code"], **code)
    try:
        await client.sign_in(person["phone"], person["code"], **code)
        raise AssertionError("the password was not asked for")
    except errors.SessionPasswordNeededError:
        pass
    try:
        await client.sign_in(password="wrong")
        raise AssertionError("a wrong password was accepted")
    except errors.PasswordHashInvalidError:
        pass
    return await client.sign_in(password=person["password"])


async def private_chat(alice, bob, inbox):
    step("private chat: send, reply, edit, delete, history")
    to_bob = await alice.get_input_entity("bob")
    sent = await alice.send_message(to_bob, "hello **bob**", parse_mode="md")
    got = await inbox["bob"].next()
    assert got.raw_text == "hello bob" and got.is_private, got
    assert got.message.entities and got.message.entities[0].offset == 6, got.message
    assert (await got.get_sender()).username == "alice"
    await got.reply("hello alice")
    reply = await inbox["alice"].next()
    assert reply.raw_text == "hello alice"
    assert reply.message.reply_to.reply_to_msg_id == sent.id

    await alice.edit_message(to_bob, sent.id, "hello robert")
    edited = await inbox["edited"].next()
    assert edited.raw_text == "hello robert" and edited.id == got.id
    try:
        await alice.edit_message(to_bob, sent.id, "hello robert")
        raise AssertionError("an edit that changes nothing was accepted")
    except errors.MessageNotModifiedError:
        pass

    history = await alice.get_messages(to_bob, limit=10)
    assert [m.raw_text for m in history] == ["hello alice", "hello robert"], history
    await alice.delete_messages(to_bob, [sent.id], revoke=True)
    deleted = await inbox["deleted"].next()
    assert deleted.deleted_ids == [got.id], deleted
    history = await bob.get_messages("alice", limit=10)
    assert [m.raw_text for m in history] == ["hello alice"], history

    try:
        await alice.send_message(to_bob, "x" * 4097)
        raise AssertionError("too long a message was accepted")
    except errors.MessageTooLongError:
        pass


async def group_chat(alice, bob, inbox, title, channel):
    step(f"{title}: send, edit, delete, history")
    dialogs = {d.title: d.entity for d in await alice.get_dialogs()}
    for_bob = {d.title: d.entity for d in await bob.get_dialogs()}
    assert title in dialogs and title in for_bob, (dialogs, for_bob)
    there = dialogs[title]
    sent = await alice.send_message(there, f"hello {title}")
    got = await inbox["bob"].next()
    assert got.raw_text == f"hello {title}" and got.is_group, got
    assert got.is_channel == channel and (got.id == sent.id or not channel)
    assert (await got.get_sender()).username == "alice"
    await got.reply("welcome")
    assert (await inbox["alice"].next()).raw_text == "welcome"
    await alice.edit_message(there, sent.id, "hello everybody")
    assert (await inbox["edited"].next()).raw_text == "hello everybody"
    history = await bob.get_messages(for_bob[title], limit=2)
    assert [m.raw_text for m in history] == ["welcome", "hello everybody"], history
    await alice.delete_messages(there, [sent.id])
    assert (await inbox["deleted"].next()).deleted_ids == [got.id]
    return there


async def catching_up(alice, bob, inbox, group, supergroup):
    step("catching up after a reconnect")
    await bob.disconnect()
    for n in range(3):
        await alice.send_message("bob", f"missed {n}")
    await alice.send_message(group, "missed in the group")
    await alice.send_message(supergroup, "missed in the supergroup")
    await bob.connect()
    expected = [f"missed {n}" for n in range(3)]
    expected += ["missed in the group", "missed in the supergroup"]
    got = await inbox["bob"].texts(5)
    assert got == sorted(expected), got


async def main():
    rsa.add_key(WORLD["public_key"], old=False)
    # One over each of the two transports.
    alice, bob = new_client(ConnectionTcpFull), new_client(ConnectionTcpAbridged)
    step("key exchange and signing in by code")
    me = await sign_in(alice, WORLD["alice"])
    assert me.id == WORLD["alice"]["id"] and me.is_self
    step("key exchange and signing in by code and password")
    me = await sign_in(bob, WORLD["bob"])
    assert me.id == WORLD["bob"]["id"]

    inbox = {
        "alice": Inbox(alice, events.NewMessage(incoming=True)),
        "bob": Inbox(bob, events.NewMessage(incoming=True)),
        "edited": Inbox(bob, events.MessageEdited(incoming=True)),
        "deleted": Inbox(bob, events.MessageDeleted()),
    }
    await private_chat(alice, bob, inbox)
    group = await group_chat(alice, bob, inbox, WORLD["group"], channel=False)
    supergroup = await group_chat(alice, bob, inbox, WORLD["supergroup"], channel=True)
    await catching_up(alice, bob, inbox, group, supergroup)

    step("signing out")
    assert await alice.log_out()
    await bob.disconnect()
    step("done")


asyncio.run(asyncio.wait_for(main(), 120))
