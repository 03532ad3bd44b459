//! `updates.*`: catching up.

use grammers_tl_types::functions::updates::{GetChannelDifference, GetDifference, GetState};
use grammers_tl_types::{enums, types};

use super::{Answer, Context};
use crate::model::{Chat, Refusal};
use crate::tl;
use crate::world::{Missed, Owner, Peers, peer};

/// How many changes a difference has unless the client says.
const DEFAULT_LIMIT: usize = 500;

/// How many of the newest messages come with `channelDifferenceTooLong`.
const TOO_LONG_MESSAGES: usize = 20;

pub(super) fn get_state(context: &mut Context<'_>, _: GetState) -> Answer<enums::updates::State> {
    Ok(context.world.state(context.account).into())
}

pub(super) fn get_difference(
    context: &mut Context<'_>,
    request: GetDifference,
) -> Answer<enums::updates::Difference> {
    if request.pts <= 0 || request.date <= 0 {
        return Err(Refusal::bad("PERSISTENT_TIMESTAMP_EMPTY"));
    }
    let limit = limit(request.pts_limit.unwrap_or(0));
    let owner = Owner::Account(context.account);
    let state = context.world.state(context.account);
    // The client may say how much it wants to hear at all.
    let wanted = request.pts_total_limit.unwrap_or(i32::MAX);
    if state.pts.saturating_sub(request.pts) > wanted {
        return Ok(types::updates::DifferenceTooLong { pts: state.pts }.into());
    }
    let new_encrypted_messages = Vec::new();
    let (new_messages, mut other_updates, mut peers, pts) =
        match context
            .world
            .missed(owner, context.account, request.pts, limit)
        {
            Missed::Nothing => (Vec::new(), Vec::new(), Peers::default(), state.pts),
            Missed::TooLong => {
                return Ok(types::updates::DifferenceTooLong { pts: state.pts }.into());
            }
            Missed::Changes {
                new: new_messages,
                other: other_updates,
                peers,
                pts,
                complete,
            } => {
                if !complete {
                    let (users, chats) = context.introduce(&peers);
                    let slice = types::updates::DifferenceSlice {
                        new_messages,
                        new_encrypted_messages,
                        other_updates,
                        chats,
                        users,
                        intermediate_state: types::updates::State { pts, ..state }.into(),
                    };
                    return Ok(slice.into());
                }
                (new_messages, other_updates, peers, pts)
            }
        };
    for channel_id in context
        .world
        .changed_channels(context.account, request.date)
    {
        other_updates.push(
            types::UpdateChannelTooLong {
                channel_id,
                pts: None,
            }
            .into(),
        );
        peers.add(Chat::Channel(channel_id));
    }
    for press in context.world.untold_presses(context.account) {
        peers.users.insert(press.user_id);
        other_updates.push(press.into());
    }
    if new_messages.is_empty() && other_updates.is_empty() && pts == request.pts {
        let (date, seq) = (state.date, state.seq);
        return Ok(types::updates::DifferenceEmpty { date, seq }.into());
    }
    let (users, chats) = context.introduce(&peers);
    let state = types::updates::State { pts, ..state }.into();
    let difference = types::updates::Difference {
        new_messages,
        new_encrypted_messages,
        other_updates,
        chats,
        users,
        state,
    };
    Ok(difference.into())
}

pub(super) fn get_channel_difference(
    context: &mut Context<'_>,
    request: GetChannelDifference,
) -> Answer<enums::updates::ChannelDifference> {
    if request.pts <= 0 {
        return Err(Refusal::bad("PERSISTENT_TIMESTAMP_EMPTY"));
    }
    let id = context.channel(&request.channel)?;
    let owner = Owner::Channel(id);
    let missed = context
        .world
        .missed(owner, context.account, request.pts, limit(request.limit));
    Ok(match missed {
        Missed::Nothing => {
            let pts = context.pts(owner);
            let empty = types::updates::ChannelDifferenceEmpty {
                r#final: true,
                pts,
                timeout: None,
            };
            empty.into()
        }
        Missed::TooLong => too_long(context, id).into(),
        Missed::Changes {
            new: new_messages,
            other: other_updates,
            peers,
            pts,
            complete,
        } => {
            let (users, chats) = context.introduce(&peers);
            let difference = types::updates::ChannelDifference {
                r#final: complete,
                pts,
                timeout: None,
                new_messages,
                other_updates,
                chats,
                users,
            };
            difference.into()
        }
    })
}

fn too_long(context: &mut Context<'_>, id: i64) -> types::updates::ChannelDifferenceTooLong {
    let (chat, owner) = (Chat::Channel(id), Owner::Channel(id));
    let newest: Vec<i32> = context
        .world
        .mailbox(owner)
        .map(|mailbox| {
            mailbox
                .newest(chat, i32::MAX)
                .take(TOO_LONG_MESSAGES)
                .collect()
        })
        .unwrap_or_default();
    let top = newest.first().copied().unwrap_or(0);
    let pts = Some(context.pts(owner));
    let dialog = types::Dialog {
        pts,
        ..tl::dialog(peer(chat), top)
    }
    .into();
    let mut peers = Peers::default();
    peers.add(chat);
    let messages = context.collect(owner, &newest, &mut peers);
    let (users, chats) = context.introduce(&peers);
    types::updates::ChannelDifferenceTooLong {
        r#final: true,
        timeout: None,
        dialog,
        messages,
        chats,
        users,
    }
}

fn limit(asked: i32) -> usize {
    usize::try_from(asked)
        .ok()
        .filter(|limit| *limit > 0)
        .unwrap_or(DEFAULT_LIMIT)
}
