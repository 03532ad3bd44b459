//! TL objects with every optional field absent: messages and their parts.

use grammers_tl_types::{enums, types};

/// A plain text message.
pub(crate) fn message(id: i32, peer_id: enums::Peer, date: i32, message: String) -> types::Message {
    types::Message {
        out: false,
        mentioned: false,
        media_unread: false,
        silent: false,
        post: false,
        from_scheduled: false,
        legacy: false,
        edit_hide: false,
        pinned: false,
        noforwards: false,
        invert_media: false,
        offline: false,
        video_processing_pending: false,
        paid_suggested_post_stars: false,
        paid_suggested_post_ton: false,
        id,
        from_id: None,
        from_boosts_applied: None,
        from_rank: None,
        peer_id,
        saved_peer_id: None,
        fwd_from: None,
        via_bot_id: None,
        via_business_bot_id: None,
        guestchat_via_from: None,
        reply_to: None,
        date,
        message,
        media: None,
        reply_markup: None,
        entities: None,
        views: None,
        forwards: None,
        replies: None,
        edit_date: None,
        post_author: None,
        grouped_id: None,
        reactions: None,
        restriction_reason: None,
        ttl_period: None,
        quick_reply_shortcut_id: None,
        effect: None,
        factcheck: None,
        report_delivery_until_date: None,
        paid_message_stars: None,
        suggested_post: None,
        schedule_repeat_period: None,
        summary_from_language: None,
        rich_message: None,
    }
}

/// A forward whose source is not told.
pub(crate) fn forward(date: i32) -> types::MessageFwdHeader {
    types::MessageFwdHeader {
        imported: false,
        saved_out: false,
        from_id: None,
        from_name: None,
        date,
        channel_post: None,
        post_author: None,
        saved_from_peer: None,
        saved_from_msg_id: None,
        saved_from_id: None,
        saved_from_name: None,
        saved_date: None,
        psa_type: None,
    }
}

/// A reply to a message in the same chat.
pub(crate) fn reply(reply_to_msg_id: i32) -> types::MessageReplyHeader {
    types::MessageReplyHeader {
        reply_to_scheduled: false,
        forum_topic: false,
        quote: false,
        reply_to_ephemeral: false,
        reply_to_msg_id: Some(reply_to_msg_id),
        reply_to_peer_id: None,
        reply_from: None,
        reply_media: None,
        reply_to_top_id: None,
        quote_text: None,
        quote_entities: None,
        quote_offset: None,
        todo_item_id: None,
        poll_option: None,
    }
}

/// A new private message without its people.
pub(crate) fn short_message(
    id: i32,
    user_id: i64,
    message: String,
    date: i32,
    pts: i32,
) -> types::UpdateShortMessage {
    types::UpdateShortMessage {
        out: false,
        mentioned: false,
        media_unread: false,
        silent: false,
        id,
        user_id,
        message,
        pts,
        pts_count: 1,
        date,
        fwd_from: None,
        via_bot_id: None,
        reply_to: None,
        entities: None,
        ttl_period: None,
    }
}

/// A new group message without its people.
pub(crate) fn short_chat_message(
    id: i32,
    from_id: i64,
    chat_id: i64,
    message: String,
    date: i32,
    pts: i32,
) -> types::UpdateShortChatMessage {
    types::UpdateShortChatMessage {
        out: false,
        mentioned: false,
        media_unread: false,
        silent: false,
        id,
        from_id,
        chat_id,
        message,
        pts,
        pts_count: 1,
        date,
        fwd_from: None,
        via_bot_id: None,
        reply_to: None,
        entities: None,
        ttl_period: None,
    }
}

/// The short answer to a message one sends oneself.
pub(crate) fn short_sent(id: i32, pts: i32, date: i32) -> types::UpdateShortSentMessage {
    types::UpdateShortSentMessage {
        out: true,
        id,
        pts,
        pts_count: 1,
        date,
        media: None,
        entities: None,
        ttl_period: None,
    }
}

/// A note about a chat, such as its creation.
pub(crate) fn service(
    id: i32,
    peer_id: enums::Peer,
    date: i32,
    action: enums::MessageAction,
) -> types::MessageService {
    types::MessageService {
        out: false,
        mentioned: false,
        media_unread: false,
        reactions_are_possible: false,
        silent: false,
        post: false,
        legacy: false,
        id,
        from_id: None,
        peer_id,
        saved_peer_id: None,
        reply_to: None,
        date,
        action,
        reactions: None,
        ttl_period: None,
    }
}
