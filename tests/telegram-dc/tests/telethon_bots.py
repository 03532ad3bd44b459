"""Telethon as a bot and as the person who presses its button and fetches its file."""

import asyncio
import json
import sys

from telethon import Button, TelegramClient, errors, events
from telethon.crypto import rsa
from telethon.sessions import MemorySession
from telethon.tl.functions.upload import GetFileRequest
from telethon.tl.types import InputDocumentFileLocation

WORLD = json.load(sys.stdin)
PATIENCE = 20


def new_client():
    session = MemorySession()
    session.set_dc(WORLD["dc"], "127.0.0.1", WORLD["port"])
    return TelegramClient(session, 1, "hash", flood_sleep_threshold=0, request_retries=1)


async def main():
    rsa.add_key(WORLD["public_key"], old=False)
    bot, alice = new_client(), new_client()
    await bot.start(bot_token=WORLD["token"])
    await alice.connect()
    sent = await alice.send_code_request(WORLD["phone"])
    await alice.sign_in(WORLD["phone"], WORLD["code"], phone_code_hash=sent.phone_code_hash)
    coming = asyncio.Queue()
    alice.add_event_handler(coming.put, events.NewMessage(incoming=True, from_users="robot"))

    @bot.on(events.CallbackQuery)
    async def pressed(event):
        assert event.sender_id == WORLD["alice"], event
        await event.answer(f"got {event.data.decode()}", alert=True)
        await event.edit("Approved")

    try:
        await bot.send_message("alice", "hi")
        raise AssertionError("a bot wrote first")
    except errors.PeerIdInvalidError:
        pass
    try:
        await bot.get_dialogs()
        raise AssertionError("a bot listed its chats")
    except errors.BotMethodInvalidError:
        pass
    await alice.send_message("robot", "/start")
    await bot.send_message("alice", "Approve?", buttons=[[Button.inline("Yes", b"approve:7")]])
    question = (await asyncio.wait_for(coming.get(), PATIENCE)).message
    answer = await asyncio.wait_for(question.click(data=b"approve:7"), PATIENCE)
    assert answer.message == "got approve:7" and answer.alert, answer
    for _ in range(100):
        edited = await alice.get_messages("robot", ids=question.id)
        if edited.raw_text == "Approved":
            break
        await asyncio.sleep(0.1)
    assert edited.raw_text == "Approved" and edited.buttons is None, edited

    content = bytes(range(256)) * 1000
    await bot.send_file(
        "alice", content, caption="for you", force_document=True
    )
    got = (await asyncio.wait_for(coming.get(), PATIENCE)).message
    assert got.raw_text == "for you" and got.file.size == len(content), got
    assert await got.download_media(bytes) == content
    document = got.document
    location = InputDocumentFileLocation(
        document.id, document.access_hash, document.file_reference, ""
    )
    await got.delete(revoke=True)
    try:
        await alice(GetFileRequest(location, offset=0, limit=4096))
        raise AssertionError("the file of a deleted message was fetched")
    except errors.FileReferenceExpiredError:
        pass
    await alice.disconnect()
    await bot.disconnect()
    print("witness: done", flush=True)


asyncio.run(asyncio.wait_for(main(), 120))
