//! The names of the commands, with an example of each.

/// A command's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// `/start`
    Start,
    /// `/help`
    Help,
    /// `/status`
    Status,
    /// `/get_secret`
    GetSecret,
    /// `/list`
    List,
    /// `/versions`
    Versions,
    /// `/put_secret`
    PutSecret,
    /// `/patch_secret`
    PatchSecret,
    /// `/delete_secret`
    DeleteSecret,
    /// `/undelete`
    Undelete,
    /// `/rotate`
    Rotate,
    /// `/destroy_secret`
    DestroySecret,
    /// `/invoke`
    Invoke,
    /// `/leases`
    Leases,
    /// `/keep_lease`
    KeepLease,
    /// `/revoke_lease`
    RevokeLease,
    /// `/get_keys`
    GetKeys,
    /// `/register_key`
    RegisterKey,
    /// `/keys`
    Keys,
    /// `/forget_key`
    ForgetKey,
    /// `/request_secret`
    RequestSecret,
    /// `/request`
    Request,
    /// `/requests`
    Requests,
    /// `/extend`
    Extend,
    /// `/admin_list`
    AdminList,
    /// `/approve`
    Approve,
    /// `/deny`
    Deny,
    /// `/revoke`
    Revoke,
    /// `/break_glass`
    BreakGlass,
    /// `/reviewed`
    Reviewed,
    /// `/run`
    Run,
    /// `/runs`
    Runs,
    /// `/rerun`
    Rerun,
    /// `/cancel_run`
    CancelRun,
    /// `/approve_run`
    ApproveRun,
    /// `/deny_run`
    DenyRun,
    /// `/watch`
    Watch,
    /// `/unwatch`
    Unwatch,
    /// `/confirm`
    Confirm,
    /// `/cancel`
    Cancel,
    /// Meant for `/put_secret`, by the look of it: `/put`, `/Put_secret`.
    LikePut,
    /// Meant for `/patch_secret`.
    LikePatch,
    /// Anything else.
    Unknown,
}

impl Word {
    /// All that people can use.
    pub const ALL: [Self; 40] = [
        Self::Start,
        Self::Help,
        Self::Status,
        Self::GetSecret,
        Self::List,
        Self::Versions,
        Self::PutSecret,
        Self::PatchSecret,
        Self::DeleteSecret,
        Self::Undelete,
        Self::Rotate,
        Self::DestroySecret,
        Self::Invoke,
        Self::Leases,
        Self::KeepLease,
        Self::RevokeLease,
        Self::GetKeys,
        Self::RegisterKey,
        Self::Keys,
        Self::ForgetKey,
        Self::RequestSecret,
        Self::Request,
        Self::Requests,
        Self::Extend,
        Self::AdminList,
        Self::Approve,
        Self::Deny,
        Self::Revoke,
        Self::BreakGlass,
        Self::Reviewed,
        Self::Run,
        Self::Runs,
        Self::Rerun,
        Self::CancelRun,
        Self::ApproveRun,
        Self::DenyRun,
        Self::Watch,
        Self::Unwatch,
        Self::Confirm,
        Self::Cancel,
    ];

    pub(super) fn read(name: &str) -> Self {
        let known = Self::ALL.into_iter().find(|word| word.name() == name);
        known.unwrap_or_else(|| {
            let name = name.to_ascii_lowercase().replace('_', "");
            let is_like = |verb| {
                let rest = name.strip_prefix(verb);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('s'))
            };
            if is_like("put") {
                Self::LikePut
            } else if is_like("patch") {
                Self::LikePatch
            } else {
                Self::Unknown
            }
        })
    }

    /// The name, without its slash.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Help => "help",
            Self::Status => "status",
            Self::GetSecret => "get_secret",
            Self::List => "list",
            Self::Versions => "versions",
            Self::PutSecret => "put_secret",
            Self::PatchSecret => "patch_secret",
            Self::DeleteSecret => "delete_secret",
            Self::Undelete => "undelete",
            Self::Rotate => "rotate",
            Self::DestroySecret => "destroy_secret",
            Self::Invoke => "invoke",
            Self::Leases => "leases",
            Self::KeepLease => "keep_lease",
            Self::RevokeLease => "revoke_lease",
            Self::GetKeys => "get_keys",
            Self::RegisterKey => "register_key",
            Self::Keys => "keys",
            Self::ForgetKey => "forget_key",
            Self::RequestSecret => "request_secret",
            Self::Request => "request",
            Self::Requests => "requests",
            Self::Extend => "extend",
            Self::AdminList => "admin_list",
            Self::Approve => "approve",
            Self::Deny => "deny",
            Self::Revoke => "revoke",
            Self::BreakGlass => "break_glass",
            Self::Reviewed => "reviewed",
            Self::Run => "run",
            Self::Runs => "runs",
            Self::Rerun => "rerun",
            Self::CancelRun => "cancel_run",
            Self::ApproveRun => "approve_run",
            Self::DenyRun => "deny_run",
            Self::Watch => "watch",
            Self::Unwatch => "unwatch",
            Self::Confirm => "confirm",
            Self::Cancel => "cancel",
            Self::LikePut | Self::LikePatch => "misspelt",
            Self::Unknown => "unknown",
        }
    }

    /// It takes values.
    #[must_use]
    pub fn takes_values(self) -> bool {
        matches!(self, Self::PutSecret | Self::PatchSecret | Self::Invoke)
    }

    /// The message holds values, or may.
    #[must_use]
    pub fn carries_values(self) -> bool {
        self.takes_values() || matches!(self, Self::LikePut | Self::LikePatch)
    }

    /// A whole command, as an example.
    pub(super) fn example(self) -> &'static str {
        match self {
            Self::Start => "/start",
            Self::Help | Self::Unknown => "/help",
            Self::Status => "/status",
            Self::GetSecret => "/get_secret django/database",
            Self::List => "/list django",
            Self::Versions => "/versions django/database",
            Self::PutSecret | Self::LikePut => {
                "/put_secret django/database user=django password=\"two words\""
            }
            Self::PatchSecret | Self::LikePatch => {
                "/patch_secret django/database password=\"two words\""
            }
            Self::DeleteSecret => "/delete_secret django/database",
            Self::Undelete => "/undelete django/database@3",
            Self::Rotate => "/rotate django/database#password",
            Self::DestroySecret => "/destroy_secret django/database@3",
            Self::Invoke => "/invoke pki/issue/web common_name=www.example.org",
            Self::Leases => "/leases",
            Self::KeepLease => "/keep_lease K7Q2 8h",
            Self::RevokeLease => "/revoke_lease K7Q2",
            Self::GetKeys => "/get_keys",
            Self::RegisterKey => "/register_key age1…",
            Self::Keys => "/keys",
            Self::ForgetKey => "/forget_key 1",
            Self::RequestSecret => "/request_secret payroll/key fix the import",
            Self::Request => "/request R7K2XQ",
            Self::Requests => "/requests",
            Self::Extend => "/extend R7K2XQ the import still runs",
            Self::AdminList => "/admin_list all",
            Self::Approve => "/approve R7K2XQ",
            Self::Deny => "/deny R7K2XQ not before the release",
            Self::Revoke => "/revoke R7K2XQ",
            Self::BreakGlass => "/break_glass payroll/key nobody answers and pay day is today",
            Self::Reviewed => "/reviewed R7K2XQ she fixed the import",
            Self::Run => "/run deploy main version=v1",
            Self::Runs => "/runs deploy",
            Self::Rerun => "/rerun 1234567",
            Self::CancelRun => "/cancel_run 1234567",
            Self::ApproveRun => "/approve_run 1234567 production",
            Self::DenyRun => "/deny_run 1234567 not before the release",
            Self::Watch => "/watch acme/shop/deploy.yml main",
            Self::Unwatch => "/unwatch acme/shop/deploy.yml main",
            Self::Confirm => "/confirm R7K2",
            Self::Cancel => "/cancel R7K2",
        }
    }
}
