//! Service messages: pings, salts, acknowledgements, and what is wrong with a message.

use std::time::Duration;

use grammers_tl_types::functions::{
    DestroySession, GetFutureSalts, Ping, PingDelayDisconnect, RpcDropAnswer,
};
use grammers_tl_types::{Deserializable, Identifiable, RawVec, Serializable, enums, types};

use super::inbound::Inbound;
use crate::tl;
use crate::world::Outgoing;

/// Handles a service message; `false` if it is none.
pub(super) fn handle(inbound: &mut Inbound, id: i64, body: &[u8]) -> bool {
    match tl::constructor(body) {
        Some(Ping::CONSTRUCTOR_ID) => {
            if let Some(ping) = read::<Ping>(body) {
                pong(inbound, id, ping.ping_id);
            }
        }
        Some(PingDelayDisconnect::CONSTRUCTOR_ID) => {
            if let Some(ping) = read::<PingDelayDisconnect>(body) {
                let delay = u64::try_from(ping.disconnect_delay).unwrap_or(0);
                inbound.disconnect_after(Duration::from_secs(delay));
                pong(inbound, id, ping.ping_id);
            }
        }
        Some(GetFutureSalts::CONSTRUCTOR_ID) => {
            if let Some(request) = read::<GetFutureSalts>(body) {
                future_salts(inbound, id, request.num);
            }
        }
        Some(DestroySession::CONSTRUCTOR_ID) => {
            if let Some(DestroySession { session_id }) = read(body) {
                let none = types::DestroySessionNone { session_id };
                inbound.link.send(Outgoing::Service(
                    enums::DestroySessionRes::from(none).to_bytes(),
                ));
            }
        }
        Some(RpcDropAnswer::CONSTRUCTOR_ID) => {
            let body = enums::RpcDropAnswer::RpcAnswerUnknown.to_bytes();
            inbound.link.send(Outgoing::Answer { request: id, body });
        }
        Some(types::MsgsStateReq::CONSTRUCTOR_ID) => {
            if let Ok(enums::MsgsStateReq::Req(request)) = enums::MsgsStateReq::from_bytes(body) {
                // 4: received. What was not received is asked for again anyway.
                let info = vec![4; request.msg_ids.len()];
                let state = types::MsgsStateInfo {
                    req_msg_id: id,
                    info,
                };
                inbound.link.send(Outgoing::Service(
                    enums::MsgsStateInfo::from(state).to_bytes(),
                ));
            }
        }
        // Answers are not kept to be sent again, so there is nothing to do.
        Some(
            types::MsgsAck::CONSTRUCTOR_ID
            | types::MsgResendReq::CONSTRUCTOR_ID
            | types::MsgResendAnsReq::CONSTRUCTOR_ID
            | types::MsgsStateInfo::CONSTRUCTOR_ID
            | types::MsgsAllInfo::CONSTRUCTOR_ID
            | types::HttpWait::CONSTRUCTOR_ID,
        ) => {}
        _ => return false,
    }
    true
}

/// `bad_msg_notification`
pub(super) fn bad_message(id: i64, seq: i32, error_code: i32) -> Outgoing {
    let bad = types::BadMsgNotification {
        bad_msg_id: id,
        bad_msg_seqno: seq,
        error_code,
    };
    Outgoing::Service(enums::BadMsgNotification::from(bad).to_bytes())
}

/// `bad_server_salt`
pub(super) fn bad_salt(id: i64, seq: i32, new_server_salt: i64) -> Outgoing {
    let bad = types::BadServerSalt {
        bad_msg_id: id,
        bad_msg_seqno: seq,
        error_code: 48,
        new_server_salt,
    };
    Outgoing::Service(enums::BadMsgNotification::from(bad).to_bytes())
}

/// `new_session_created`
pub(super) fn new_session(first_msg_id: i64, server_salt: i64) -> Outgoing {
    let unique_id = crate::random::id();
    let created = types::NewSessionCreated {
        first_msg_id,
        unique_id,
        server_salt,
    };
    Outgoing::Push(enums::NewSession::from(created).to_bytes())
}

/// `msgs_ack` for one message.
pub(super) fn acknowledge(id: i64) -> Outgoing {
    Outgoing::Service(enums::MsgsAck::from(types::MsgsAck { msg_ids: vec![id] }).to_bytes())
}

fn pong(inbound: &Inbound, msg_id: i64, ping_id: i64) {
    let pong = types::Pong { msg_id, ping_id };
    inbound.shared.control.called("ping");
    inbound
        .link
        .send(Outgoing::Service(enums::Pong::from(pong).to_bytes()));
}

fn future_salts(inbound: &Inbound, req_msg_id: i64, count: i32) {
    let now = inbound.shared.clock.unix();
    let salts = RawVec(inbound.shared.salts.future(inbound.key, now, count));
    let salts = types::FutureSalts {
        req_msg_id,
        now,
        salts,
    };
    inbound.link.send(Outgoing::Service(
        enums::FutureSalts::from(salts).to_bytes(),
    ));
}

fn read<T: Deserializable>(body: &[u8]) -> Option<T> {
    T::from_bytes(body.get(4..)?).ok()
}
