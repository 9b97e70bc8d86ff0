//! The flags of reading mean the same in each command that reads.

mod support;

use support::Cluster;

#[test]
fn the_end_is_the_same_flag_in_consume_and_worker() {
    let cluster = Cluster::get();
    let topic = cluster.create("ends", 1);
    cluster.kq(["produce", &topic]).stdin("a\nb\n").run().success();
    for flag in ["-e", "--end"] {
        cluster.kq(["consume", &topic, flag]).run().success().stdout("a\nb\n");
    }
    for flag in ["-e", "--end", "--exit-at-end"] {
        let group = format!("{topic}{flag}");
        cluster.kq(["worker", &topic, "-g", &group, flag, "-j1", "--", "cat"]).run().success().stdout("ab");
    }
    let help = cluster.kq(["worker", "--help"]).run().success();
    help.demand("the alias is hidden", |out| !out.text().contains("exit-at-end"));
}
