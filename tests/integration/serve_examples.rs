//! The examples of `kq serve`: the script of GitHub's hooks runs, and the flags of the others are kq's.

use crate::support::{Cluster, Kq};

/// A file of `examples/serve/`.
fn path(name: &str) -> String {
    format!("{}/examples/serve/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn text(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

#[test]
#[ignore = "needs curl and openssl: .ci/run examples"]
fn a_push_that_github_signs_runs_the_workers_command() {
    let cluster = Cluster::embedded();
    cluster.kq(["topic", "create", "hooks", "--partitions", "1"]).run().success();
    let body = r#"{"ref":"refs/heads/main","repository":{"full_name":"acme/shop"}}"#;
    cluster.program("sh", [path("github.sh")]).run().success().stdout(format!("deploy acme/shop: {body}\n"));
}

/// kq knows the flags, and their values: it does not get to what they ask for.
#[track_caller]
fn is_known<'a>(words: impl IntoIterator<Item = &'a str>) {
    let words: Vec<_> = words.into_iter().collect();
    assert!(words.len() > 5 && words[0] == "serve", "{words:?}");
    Kq::new(words).arg("--help").run().success();
}

#[test]
fn the_flags_of_the_systemd_unit_are_known() {
    let unit = text("kq-serve.service").replace("\\\n", " ");
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("ExecStart");
    is_known(start.split_whitespace().skip(1));
}

#[test]
fn the_flags_of_the_manifest_are_known_and_its_times_fit() {
    let first = text("kubernetes.yaml");
    let (deployment, _) = first.split_once("\n---\n").expect("a deployment and a service");
    let deployment: serde_yaml_ng::Value = serde_yaml_ng::from_str(deployment).expect("YAML");
    let pod = &deployment["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let command = container["command"].as_sequence().expect("a command");
    is_known(command.iter().skip(1).map(|word| word.as_str().expect("a word")));
    // --shutdown-timeout is 28 s.
    assert_eq!(pod["terminationGracePeriodSeconds"].as_u64(), Some(30));
    for (probe, path) in [("livenessProbe", "/livez"), ("readinessProbe", "/readyz")] {
        assert_eq!(container[probe]["httpGet"]["path"].as_str(), Some(path));
    }
}
