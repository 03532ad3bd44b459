//! `help.*`: what the datacenter is.

use grammers_tl_types::functions::help::{GetConfig, GetNearestDc};
use grammers_tl_types::{enums, types};

use super::{Answer, Context};
use crate::tl;

/// The addresses of this world alone: clients keep to it, and ask no other datacenter.
pub(super) fn get_config(context: &mut Context<'_>, _: GetConfig) -> Answer<enums::Config> {
    let options = context.world.datacenters.iter().map(|(dc_id, address)| {
        let port = i32::from(address.port());
        let option = tl::dc_option(*dc_id, address.ip().to_string(), port);
        let option = types::DcOption {
            this_port_only: true,
            ..option
        };
        option.into()
    });
    let now = context.shared.clock.unix();
    Ok(tl::config(now, context.shared.dc_id, options.collect()).into())
}

pub(super) fn get_nearest_dc(
    context: &mut Context<'_>,
    _: GetNearestDc,
) -> Answer<enums::NearestDc> {
    let dc = context.shared.dc_id;
    Ok(types::NearestDc {
        country: "XX".to_owned(),
        this_dc: dc,
        nearest_dc: dc,
    }
    .into())
}
