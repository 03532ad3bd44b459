//! Files: uploaded, sent with a caption, fetched again, and gone with their message.

use std::io::Cursor;

use grammers_client::InvocationError;
use grammers_client::media::{Downloadable, Media};
use grammers_client::message::InputMessage;
use grammers_tl_types::{enums, functions, types};
use telegram_dc::{Chat, Datacenter, Document, Draft, User};

use crate::support::{ALICE, BOT, Connected, SUPERGROUP, TestSession, datacenter};

async fn connected(dc: &Datacenter, user: i64) -> Connected {
    Connected::new(&TestSession::signed_in(dc, user).await).await
}

fn refused<T: std::fmt::Debug>(result: Result<T, InvocationError>) -> String {
    match result.unwrap_err() {
        InvocationError::Rpc(error) => error.name,
        other => panic!("{other}"),
    }
}

/// More than one part, more than one answer, and no two stretches alike.
fn content() -> Vec<u8> {
    (0..900_000_u32)
        .flat_map(|n| (n / 3).to_le_bytes())
        .take(1_700_001)
        .collect()
}

#[tokio::test]
async fn a_document_is_sent_with_its_caption_and_read_back() {
    let dc = datacenter().await;
    let broker = connected(&dc, BOT).await;
    let mut alice = connected(&dc, ALICE).await;
    let to = broker.find("alice").await;
    let content = content();
    let mut stream = Cursor::new(content.clone());
    let file = broker
        .client
        .upload_stream(&mut stream, content.len(), "creds.age".to_owned());
    let message = InputMessage::new()
        .text("for you")
        .document(file.await.unwrap());
    let sent = broker.client.send_message(to, message).await.unwrap();
    assert!(matches!(sent.media(), Some(Media::Document(_))));

    let seen = dc.history(ALICE, Chat::User(BOT)).pop().unwrap();
    assert_eq!(seen.text, "for you");
    let document = seen.document.unwrap();
    assert_eq!(document.name, "creds.age");
    assert!(document.bytes == content);

    let got = alice.next_message().await;
    assert_eq!(got.text(), "for you");
    let Some(Media::Document(document)) = got.media() else {
        panic!("{got:?}")
    };
    assert_eq!(document.name(), Some("creds.age"));
    assert_eq!(document.size(), Some(content.len()));
    let mut fetched = Vec::new();
    let mut chunks = alice.client.iter_download(&document);
    while let Some(chunk) = chunks.next().await.unwrap() {
        fetched.extend(chunk);
    }
    assert!(fetched == content);
}

fn get_file(location: enums::InputFileLocation) -> functions::upload::GetFile {
    functions::upload::GetFile {
        precise: false,
        cdn_supported: false,
        location,
        offset: 0,
        limit: 4096,
    }
}

#[tokio::test]
async fn a_file_is_gone_with_its_message_and_was_never_for_others() {
    let dc = datacenter().await;
    let stranger = dc.add_user(User::new(3, "Stranger").username("stranger"));
    let mut alice = connected(&dc, ALICE).await;
    let other = connected(&dc, stranger).await;
    for chat in [Chat::User(ALICE), Chat::Channel(SUPERGROUP)] {
        let draft = Draft::new("look").document(Document::new("a.txt", "content"));
        let id = dc.send(BOT, chat, draft).unwrap().id_for(BOT).unwrap();
        let got = alice.next_message().await;
        let location = got.media().unwrap().to_raw_input_location().unwrap();
        let request = get_file(location);
        let enums::upload::File::File(file) = alice.client.invoke(&request).await.unwrap() else {
            panic!("no file")
        };
        assert_eq!(file.bytes, b"content");
        assert_eq!(
            refused(other.client.invoke(&request).await),
            "LOCATION_INVALID"
        );

        assert_eq!(dc.delete(BOT, chat, &[id]), 1);
        assert_eq!(
            refused(alice.client.invoke(&request).await),
            "FILE_REFERENCE_EXPIRED"
        );
    }
}

fn send(peer: enums::InputPeer, random_id: i64, parts: i32) -> functions::messages::SendMedia {
    let file = types::InputFile {
        id: 77,
        parts,
        name: "notes".to_owned(),
        md5_checksum: String::new(),
    };
    let media = types::InputMediaUploadedDocument {
        nosound_video: false,
        force_file: true,
        spoiler: false,
        file: file.into(),
        thumb: None,
        mime_type: "text/plain".to_owned(),
        attributes: Vec::new(),
        stickers: None,
        video_cover: None,
        video_timestamp: None,
        ttl_seconds: None,
    };
    functions::messages::SendMedia {
        silent: false,
        background: false,
        clear_draft: false,
        noforwards: true,
        update_stickersets_order: false,
        invert_media: false,
        allow_paid_floodskip: false,
        peer,
        reply_to: None,
        media: media.into(),
        message: String::new(),
        random_id,
        reply_markup: None,
        entities: None,
        schedule_date: None,
        schedule_repeat_period: None,
        send_as: None,
        quick_reply_shortcut: None,
        effect: None,
        allow_paid_stars: None,
        suggested_post: None,
    }
}

#[tokio::test]
async fn parts_and_captions_have_to_fit_and_a_repeated_send_is_one_message() {
    let dc = datacenter().await;
    let broker = connected(&dc, BOT).await;
    let peer: enums::InputPeer = broker.find("alice").await.into();
    let part = |file_part, bytes: &[u8]| functions::upload::SaveFilePart {
        file_id: 77,
        file_part,
        bytes: bytes.to_vec(),
    };
    let save = async |file_part, bytes: &[u8]| broker.client.invoke(&part(file_part, bytes)).await;
    assert_eq!(refused(save(0, b"").await), "FILE_PART_EMPTY");
    assert_eq!(refused(save(-1, b"x").await), "FILE_PART_INVALID");
    assert_eq!(
        refused(save(0, &vec![0; 524_289]).await),
        "FILE_PART_TOO_BIG"
    );
    assert!(save(0, &[1; 1024]).await.unwrap());

    let with = |random_id, parts| send(peer.clone(), random_id, parts);
    let invoke = async |request| broker.client.invoke(&request).await;
    assert_eq!(refused(invoke(with(1, 2)).await), "FILE_PART_MISSING");
    assert!(save(1, &[2; 3]).await.unwrap());
    let long = functions::messages::SendMedia {
        message: "x".repeat(1025),
        ..with(1, 2)
    };
    assert_eq!(refused(invoke(long).await), "MEDIA_CAPTION_TOO_LONG");
    assert_eq!(dc.history(ALICE, Chat::User(BOT)), []);

    let first = invoke(with(2, 2)).await.unwrap();
    assert_eq!(invoke(with(2, 2)).await.unwrap(), first);
    let [seen] = &dc.history(ALICE, Chat::User(BOT))[..] else {
        panic!("one message")
    };
    let document = seen.document.as_ref().unwrap();
    assert_eq!(
        (document.name.as_str(), document.bytes.len()),
        ("notes", 1027)
    );
    assert!(!seen.noforwards, "only bots can forbid forwarding");
}
