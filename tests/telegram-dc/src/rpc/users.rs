//! `users.*`: who somebody is.

use grammers_tl_types::functions::users::{GetFullUser, GetUsers};
use grammers_tl_types::{enums, types};

use super::{Answer, Context};
use crate::model::Chat;
use crate::tl;
use crate::world::Peers;

pub(super) fn get_users(context: &mut Context<'_>, request: GetUsers) -> Answer<Vec<enums::User>> {
    let mut peers = Peers::default();
    for user in &request.id {
        // Unknown users are left out, as Telegram does.
        if let Ok(id) = context.user(user) {
            peers.add(Chat::User(id));
        }
    }
    Ok(context.introduce(&peers).0)
}

pub(super) fn get_full_user(
    context: &mut Context<'_>,
    request: GetFullUser,
) -> Answer<enums::users::UserFull> {
    let id = context.user(&request.id)?;
    let mut peers = Peers::default();
    peers.add(Chat::User(id));
    let (users, chats) = context.introduce(&peers);
    Ok(types::users::UserFull {
        full_user: tl::user_full(id).into(),
        chats,
        users,
    }
    .into())
}

impl Context<'_> {
    /// Describes everybody to the account, and remembers that it was told.
    pub(super) fn introduce(&mut self, peers: &Peers) -> (Vec<enums::User>, Vec<enums::Chat>) {
        self.world.introduce(self.key, self.account, peers)
    }
}
