//! What our own messages say is taken out of updates: it may be a secret, and updates can wait
//! for long. Only their numbers are needed; nobody acts on what we wrote ourselves.

use grammers_session::updates::UpdatesLike;
use grammers_tl_types as tl;

/// Takes it out. What is freed is wiped.
pub(super) fn take_out(updates: &mut UpdatesLike) {
    use tl::enums::Updates;
    match updates {
        UpdatesLike::ShortSentMessage { request, update } => {
            request.message = String::new();
            request.entities = None;
            update.entities = None;
        }
        UpdatesLike::Updates(Updates::UpdateShortMessage(short)) if short.out => {
            short.message = String::new();
            short.entities = None;
        }
        UpdatesLike::Updates(Updates::UpdateShortChatMessage(short)) if short.out => {
            short.message = String::new();
            short.entities = None;
        }
        UpdatesLike::Updates(_)
        | UpdatesLike::AffectedMessages(_)
        | UpdatesLike::AffectedChannelMessages { .. }
        | UpdatesLike::InvitedUsers(_)
        | UpdatesLike::ChatInviteJoinResult(_)
        | UpdatesLike::ConnectionClosed
        | UpdatesLike::MalformedUpdates => {
            for update in inside(updates) {
                take_out_of_one(update);
            }
        }
    }
}

fn take_out_of_one(update: &mut tl::enums::Update) {
    use tl::enums::Update;
    let message = if let Update::NewMessage(new) = update {
        &mut new.message
    } else if let Update::NewChannelMessage(new) = update {
        &mut new.message
    } else if let Update::EditMessage(edit) = update {
        &mut edit.message
    } else if let Update::EditChannelMessage(edit) = update {
        &mut edit.message
    } else {
        return;
    };
    if let tl::enums::Message::Message(message) = message
        && message.out
    {
        message.message = String::new();
        message.entities = None;
    }
}

/// The single updates in what a connection delivers.
pub(super) fn inside(updates: &mut UpdatesLike) -> &mut [tl::enums::Update] {
    use tl::enums::Updates;
    let UpdatesLike::Updates(updates) = updates else {
        return &mut [];
    };
    match updates {
        Updates::UpdateShort(short) => std::slice::from_mut(&mut short.update),
        Updates::Combined(combined) => &mut combined.updates,
        Updates::Updates(updates) => &mut updates.updates,
        Updates::TooLong
        | Updates::UpdateShortMessage(_)
        | Updates::UpdateShortChatMessage(_)
        | Updates::UpdateShortSentMessage(_) => &mut [],
    }
}

#[cfg(test)]
mod tests {
    use grammers_tl_types::{Deserializable, Identifiable, Serializable, enums, types};

    use super::*;

    const SECRET: &str = "hunter2-hunter2";

    /// A message, as it comes from Telegram: most of its fields are absent.
    fn message(out: bool) -> enums::Message {
        let mut bytes = types::Message::CONSTRUCTOR_ID.to_bytes();
        (i32::from(out) << 1).serialize(&mut bytes);
        0.serialize(&mut bytes);
        8.serialize(&mut bytes);
        enums::Peer::from(types::PeerUser { user_id: 9 }).serialize(&mut bytes);
        1_700_000_000.serialize(&mut bytes);
        SECRET.to_owned().serialize(&mut bytes);
        enums::Message::from_bytes(&bytes).unwrap()
    }

    /// In each kind of update that brings a message.
    fn updates(message: &enums::Message) -> Vec<enums::Update> {
        let message = message.clone();
        let (pts, pts_count) = (12, 1);
        vec![
            types::UpdateNewMessage {
                message: message.clone(),
                pts,
                pts_count,
            }
            .into(),
            types::UpdateNewChannelMessage {
                message: message.clone(),
                pts,
                pts_count,
            }
            .into(),
            types::UpdateEditMessage {
                message: message.clone(),
                pts,
                pts_count,
            }
            .into(),
            types::UpdateEditChannelMessage {
                message,
                pts,
                pts_count,
            }
            .into(),
        ]
    }

    #[test]
    fn what_we_wrote_goes_and_what_others_wrote_stays() {
        for (out, expected) in [(true, 0), (false, 4)] {
            let mut delivered = UpdatesLike::Updates(
                types::Updates {
                    updates: updates(&message(out)),
                    users: vec![],
                    chats: vec![],
                    date: 0,
                    seq: 0,
                }
                .into(),
            );
            take_out(&mut delivered);
            let texts = inside(&mut delivered).iter().map(Serializable::to_bytes);
            let secret = |bytes: &Vec<u8>| {
                let mut windows = bytes.windows(SECRET.len());
                windows.any(|window| window == SECRET.as_bytes())
            };
            assert_eq!(texts.filter(secret).count(), expected, "{out}");
            assert_eq!(inside(&mut delivered).len(), 4);
        }
    }
}
