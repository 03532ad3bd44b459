//! Any address somebody could connect from: what is taken for systemd's is what was written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vaultgram::domain::Credential;
use vaultgram::domain::caller::is_unit;

fuzz_target!(|address: &[u8]| {
    if let Some(Credential { unit, id }) = Credential::of_address(address) {
        let end = format!("/unit/{unit}/{id}");
        assert!(address.ends_with(end.as_bytes()));
        assert!(address.len() <= end.len() + 16 && is_unit(&unit) && !id.contains('/'));
    }
});
