//! Calls of the API: which method, whether it is allowed, who handles it.
#![expect(
    clippy::needless_pass_by_value,
    clippy::unnecessary_wraps,
    reason = "every handler has the one shape that `routes!` calls"
)]

mod account;
mod auth;
mod authorizations;
mod bots;
mod callbacks;
mod channels;
mod contacts;
mod dialogs;
mod files;
mod help;
mod messages;
mod peers;
mod reactions;
mod read;
mod updates;
mod users;

use grammers_tl_types::{
    Deserializable, Identifiable, RemoteCall, Serializable, enums, functions, types,
};

use crate::control::UNKNOWN_METHOD;
use crate::devices::DeviceInfo;
use crate::model::Refusal;
use crate::shared::Shared;
use crate::tl::{self, Rest};
use crate::world::{Outgoing, Owner, Standing, World};

/// A method's answer.
type Answer<T> = Result<T, Refusal>;

/// A call out of its wrappers.
pub(crate) struct Call {
    /// The method's constructor id.
    pub(crate) constructor: u32,
    body: Vec<u8>,
    /// What `initConnection` said about the client.
    client: Option<(i32, DeviceInfo)>,
    without_updates: bool,
}

impl Call {
    /// Takes the wrappers off; `None` if they are malformed or too many.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let mut call = Self {
            constructor: tl::constructor(body)?,
            body: body.get(4..)?.to_vec(),
            client: None,
            without_updates: false,
        };
        for _ in 0..8 {
            let inner = match call.constructor {
                functions::InvokeWithLayer::<Rest>::CONSTRUCTOR_ID => {
                    functions::InvokeWithLayer::<Rest>::from_bytes(&call.body)
                        .ok()?
                        .query
                }
                functions::InitConnection::<Rest>::CONSTRUCTOR_ID => {
                    let init = functions::InitConnection::<Rest>::from_bytes(&call.body).ok()?;
                    call.client = Some((init.api_id, about(&init)));
                    init.query
                }
                functions::InvokeWithoutUpdates::<Rest>::CONSTRUCTOR_ID => {
                    call.without_updates = true;
                    functions::InvokeWithoutUpdates::<Rest>::from_bytes(&call.body)
                        .ok()?
                        .query
                }
                functions::InvokeAfterMsg::<Rest>::CONSTRUCTOR_ID => {
                    functions::InvokeAfterMsg::<Rest>::from_bytes(&call.body)
                        .ok()?
                        .query
                }
                _ => return Some(call),
            };
            call.constructor = tl::constructor(&inner.0)?;
            call.body = inner.0.get(4..)?.to_vec();
        }
        None
    }

    /// The method's name, such as `messages.sendMessage`.
    pub(crate) fn method(&self) -> &'static str {
        match grammers_tl_types::name_for_id(self.constructor) {
            name if name.contains('.') => name,
            _ => UNKNOWN_METHOD,
        }
    }
}

/// What a handler works with.
pub(crate) struct Context<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) world: &'a mut World,
    /// The connection that asks.
    pub(crate) link: u64,
    pub(crate) key: i64,
    /// The account it is signed in as; no account has 0.
    pub(crate) account: i64,
}

/// Carries a call out and queues its answer, in step with the updates around it.
pub(crate) fn answer(shared: &Shared, link: u64, key: i64, request: i64, call: &Call) {
    let mut world = shared.world();
    let body = dispatch(shared, &mut world, link, key, Some(request), call);
    if let (Some(body), Some(connection)) = (body, world.links.get(link)) {
        connection.link.send(Outgoing::Answer { request, body });
    }
    if !call.without_updates {
        world.attach(link, key);
    }
}

/// Carries a call out; nobody hears the answer.
pub(crate) fn carry_out(shared: &Shared, link: u64, key: i64, call: &Call) {
    drop(dispatch(shared, &mut shared.world(), link, key, None, call));
}

/// A refusal as clients are sent it.
pub(crate) fn refuse(refusal: &Refusal) -> Vec<u8> {
    let (error_code, error_message) = (refusal.code, refusal.text.clone());
    enums::RpcError::from(types::RpcError {
        error_code,
        error_message,
    })
    .to_bytes()
}

/// The answer to a call; `None` if it comes later, under the number of the request.
fn dispatch(
    shared: &Shared,
    world: &mut World,
    link: u64,
    key: i64,
    request: Option<i64>,
    call: &Call,
) -> Option<Vec<u8>> {
    if let Some(device) = world.keys.get_mut(key) {
        device.active = shared.clock.unix();
        if let Some((api_id, about)) = &call.client {
            device.api_id = *api_id;
            device.about.clone_from(about);
        }
    }
    let account = world.keys.account(key).unwrap_or(0);
    let mut context = Context {
        shared,
        world,
        link,
        key,
        account,
    };
    let answer = match context.standing() {
        Standing::Ended(refusal) => Err(refusal),
        Standing::Fresh | Standing::PasswordDue(_) | Standing::SignedIn(_) => {
            match open(&mut context, call) {
                Some(answer) => answer.map(Some),
                None => signed_in(&mut context, request, call),
            }
        }
    };
    answer.unwrap_or_else(|refusal| {
        tracing::debug!(method = call.method(), %refusal, "refused");
        Some(refuse(&refusal))
    })
}

/// What a client says about itself, and what Telegram makes of it.
fn about(init: &functions::InitConnection<Rest>) -> DeviceInfo {
    let platform = init.system_version.split_whitespace().next();
    DeviceInfo {
        platform: platform.unwrap_or("Unknown").to_owned(),
        system: init.system_version.clone(),
        app: format!("App {}", init.api_id),
        app_version: init.app_version.clone(),
        ..DeviceInfo::new(init.device_model.as_str())
    }
}

/// Reads a request, hands it to its handler, and holds the answer to the schema.
macro_rules! routes {
    ($context:ident, $call:ident, { $($request:ty => $handler:path),* $(,)? }) => {
        match $call.constructor {
            $(<$request as Identifiable>::CONSTRUCTOR_ID => Some(
                <$request as Deserializable>::from_bytes(&$call.body)
                    .map_err(|_| Refusal::bad("INPUT_REQUEST_TOO_SHORT"))
                    .and_then(|request| $handler($context, request))
                    .map(|answer: <$request as RemoteCall>::Return| answer.to_bytes()),
            ),)*
            _ => None,
        }
    };
}

/// Methods for everybody; `None` if it is another.
fn open(context: &mut Context<'_>, call: &Call) -> Option<Answer<Vec<u8>>> {
    use functions::{account as a, auth as s, help as h};
    routes!(context, call, {
        h::GetConfig => help::get_config,
        h::GetNearestDc => help::get_nearest_dc,
        s::SendCode => auth::send_code,
        s::ResendCode => auth::resend_code,
        s::SignIn => auth::sign_in,
        s::CheckPassword => auth::check_password,
        s::ImportBotAuthorization => auth::import_bot,
        s::LogOut => auth::log_out,
        s::ImportAuthorization => authorizations::import,
        a::GetPassword => account::get_password,
    })
}

/// Methods for those who are signed in; `None` if the answer comes later.
fn signed_in(
    context: &mut Context<'_>,
    request: Option<i64>,
    call: &Call,
) -> Answer<Option<Vec<u8>>> {
    use functions::{
        account as a, auth as s, channels as ch, contacts as c, messages as m, updates as u,
    };
    if context.account == 0 {
        return Err(match context.standing() {
            Standing::PasswordDue(_) => Refusal::unauthorized("SESSION_PASSWORD_NEEDED"),
            Standing::Fresh | Standing::SignedIn(_) | Standing::Ended(_) => {
                Refusal::unauthorized("AUTH_KEY_UNREGISTERED")
            }
        });
    }
    let home = context.world.home(context.account);
    if home != context.shared.dc_id && !call.method().starts_with("upload.") {
        return Err(Refusal::elsewhere("USER", home));
    }
    bots::check_method(context, call.constructor)?;
    if callbacks::is_press(call) {
        return callbacks::press(context, call, request).map(|()| None);
    }
    routes!(context, call, {
        functions::users::GetUsers => users::get_users,
        functions::users::GetFullUser => users::get_full_user,
        c::ResolveUsername => contacts::resolve_username,
        c::GetContacts => contacts::get_contacts,
        u::GetState => updates::get_state,
        u::GetDifference => updates::get_difference,
        u::GetChannelDifference => updates::get_channel_difference,
        s::ExportAuthorization => authorizations::export,
        a::UpdateStatus => account::update_status,
        a::GetAuthorizations => authorizations::list,
        a::ResetAuthorization => authorizations::reset,
        a::ChangeAuthorizationSettings => authorizations::change_settings,
        s::ResetAuthorizations => authorizations::reset_all,
        m::SendMessage => messages::send,
        m::SendMedia => files::send_media,
        functions::upload::SaveFilePart => files::save_part,
        functions::upload::GetFile => files::get_file,
        m::EditMessage => messages::edit,
        m::DeleteMessages => messages::delete,
        m::SetTyping => messages::set_typing,
        m::SetHistoryTtl => messages::set_history_ttl,
        m::SetBotCallbackAnswer => callbacks::answer,
        m::SendReaction => reactions::send,
        m::GetMessagesReactions => reactions::get,
        m::GetMessages => read::get_messages,
        m::GetHistory => read::get_history,
        m::ReadHistory => read::read_history,
        m::GetDialogs => dialogs::get_dialogs,
        m::GetPeerDialogs => dialogs::get_peer_dialogs,
        m::GetChats => channels::get_chats,
        m::GetFullChat => channels::get_full_chat,
        ch::GetChannels => channels::get_channels,
        ch::GetFullChannel => channels::get_full_channel,
        ch::DeleteMessages => channels::delete_messages,
        ch::GetMessages => channels::get_messages,
        ch::ReadHistory => channels::read_history,
    })
    .unwrap_or_else(|| Err(unserved(context, call)))
    .map(Some)
}

/// A method that is not served: counted and logged, for the test that wonders.
fn unserved(context: &Context<'_>, call: &Call) -> Refusal {
    let (method, constructor) = (call.method(), format!("{:#x}", call.constructor));
    tracing::warn!(method, constructor, "a method that is not served");
    if method != UNKNOWN_METHOD {
        context.shared.control.called(UNKNOWN_METHOD);
    }
    Refusal::bad("METHOD_INVALID")
}

impl Context<'_> {
    fn standing(&self) -> Standing {
        self.world
            .keys
            .get(self.key)
            .map_or(Standing::Fresh, |device| device.standing.clone())
    }

    /// The `pts` of a box.
    fn pts(&self, owner: Owner) -> i32 {
        self.world
            .mailbox(owner)
            .map_or(1, crate::world::Mailbox::pts)
    }
}
