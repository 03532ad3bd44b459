//! The cluster itself: it serves without one node, leads anew, and serves nobody without two.

use std::time::{Duration, Instant};

use crate::etcd::Etcd;
use crate::openbao::wait_until;

#[test]
fn a_single_node_serves_in_a_moment_and_again_after_a_kill() {
    let mut etcd = Etcd::start();
    let begun = Instant::now();
    etcd.kill(0);
    assert!(!etcd.healthy(0));
    etcd.restart(0);
    etcd.wait_until_healthy();
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn another_node_leads_when_the_leader_is_killed_or_stopped() {
    let mut etcd = Etcd::start_cluster();
    let first = etcd.leader();
    etcd.kill(first);
    etcd.wait_until_healthy();
    let second = etcd.leader();
    assert_ne!(first, second);

    // With one of the others killed and the leader stopped, the third has nobody to lead.
    etcd.pause(second);
    let third = 3 - first - second;
    wait_until("the third is alone", || !etcd.healthy(third));
    etcd.resume(second);
    etcd.wait_until_healthy();

    etcd.restart(first);
    etcd.wait_until_healthy();
    let leader = etcd.leader();
    etcd.pause(leader);
    let others = (0..3).filter(|node| *node != leader);
    wait_until("another leads", || {
        let mut others = others.clone();
        others.any(|node| etcd.metric(node, "etcd_server_is_leader") == Some(1.0))
    });
    etcd.resume(leader);
    etcd.wait_until_healthy();
}
