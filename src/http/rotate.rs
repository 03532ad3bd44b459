//! A random value for one field of a secret: our own addition, for Vault has no such thing.

use serde::Deserialize;

use crate::domain::secret_path::check_field;
use crate::domain::{Action, Caller, Recipe, RequestId, Target};
use crate::http::error::Refusal;
use crate::http::read::request;
use crate::http::reply::Reply;
use crate::http::vault_api::VaultApi;
use crate::http::write::written;

/// What stands for all rotations, where they are asked about and not done.
pub(super) const ANY: Action = Action::Rotate {
    recipe: Recipe::Password,
    over: None,
};

/// What a request's body says.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Given {
    field: Option<String>,
    recipe: Option<String>,
}

impl VaultApi {
    /// Replaces one field by a random value, whatever version the secret is at.
    pub(super) async fn rotate(
        &self,
        id: RequestId,
        target: Target,
        given: Given,
        caller: &Caller,
    ) -> Result<Reply, Refusal> {
        let field = given.field.unwrap_or_default();
        let field =
            check_field(&field).map_err(|error| Refusal::bad_request(format!("field: {error}")))?;
        let recipe = match given.recipe {
            None => Recipe::default(),
            Some(name) => Recipe::named(&name).ok_or_else(|| {
                let names = Recipe::ALL.map(Recipe::name).join(", ");
                Refusal::bad_request(format!("recipe: one of {names}"))
            })?,
        };
        let target = Target {
            field: Some(field),
            ..target
        };
        let name = id.to_string();
        let action = Action::Rotate { recipe, over: None };
        let outcome = self
            .asker
            .ask(request(id, action, target, caller), vec![], None);
        written(name, outcome.await?)
    }
}
