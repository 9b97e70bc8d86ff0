//! Flags, environment and help of the real binary, and what it says of a cluster that can't be reached.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use crate::support::{Kq, Output, Refusing};

/// A server that does this with each connection, until the test's process ends.
fn server(serve: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

/// A server that reads a request, answers with these bytes, and closes the connection.
fn answering(bytes: &'static [u8]) -> String {
    server(move |mut stream| {
        let mut request = [0; 512];
        let _ = stream.read(&mut request);
        let _ = stream.write_all(bytes);
    })
}

/// A broker that answers `ApiVersions` and Metadata (of itself and topic `foo`), and does `otherwise` with any
/// other request; it has `CreateTopics` up to this version.
fn broker(create_topics: i16, otherwise: impl Fn(&TcpStream) + Send + Sync + Clone + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("an address");
    let versions = [(3, 2), (18, 3), (19, create_topics), (20, 1)];
    let port = i32::from(address.port());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let otherwise = otherwise.clone();
            std::thread::spawn(move || -> std::io::Result<()> {
                loop {
                    let mut size = [0; 4];
                    stream.read_exact(&mut size)?;
                    let mut request = vec![0; u32::from_be_bytes(size) as usize];
                    stream.read_exact(&mut request)?;
                    let mut answer = request[4..8].to_vec();
                    match (request[1], request[3]) {
                        (18, version) => {
                            // In its oldest form, which a newer question is answered with too, and with an error.
                            answer.extend([0, if version == 0 { 0 } else { 35 }]);
                            answer.extend((versions.len() as i32).to_be_bytes());
                            for (key, most) in versions {
                                answer.extend([0, key, 0, 0, 0, most as u8]);
                            }
                        }
                        (3, _) => {
                            // One broker, no rack; the cluster's id; the controller; topic foo.
                            answer.extend([0, 0, 0, 1, 0, 0, 0, 1, 0, 9]);
                            answer.extend(b"127.0.0.1");
                            answer.extend(port.to_be_bytes());
                            answer.extend([255, 255, 0, 1, b'c', 0, 0, 0, 1]);
                            answer.extend(b"\0\0\0\x01\0\0\0\x03foo\0\0\0\0\x01");
                            // No error, partition 0, its leader, replicas and isr.
                            answer.extend([0; 6]);
                            answer.extend([0, 0, 0, 1].repeat(5));
                        }
                        _ => {
                            otherwise(&stream);
                            continue;
                        }
                    }
                    stream.write_all(&(answer.len() as u32).to_be_bytes())?;
                    stream.write_all(&answer)?;
                }
            });
        }
    });
    address.to_string()
}

/// `kq topic list` against this broker, which must end with status 2 long before the default time-out.
#[track_caller]
fn unreachable(broker: &str, timeout: &str, args: &[&str]) -> Output {
    let output = Kq::new(["-b", broker, "--timeout", timeout, "topic", "list"]).args(args).run().status(2);
    output
        .stdout("")
        .demand("an end within the time-out", |o| o.took < Duration::from_secs(9))
        .stderr_has(&format!("can't reach {broker}: "))
}

#[test]
fn a_dead_broker_is_named_with_the_cause_and_what_to_do() {
    let closed = Refusing::bind();
    let broker = closed.address().to_string();
    unreachable(&broker, "1s", &["-q"]).stderr(&format!(
        "kq: can't reach {broker}: connection refused (is a broker running there? `kq dev` starts one, \
         -b/KQ_BROKERS names yours)\n"
    ));
}

#[test]
fn a_note_says_which_broker_kq_waits_for() {
    let closed = Refusing::bind();
    let broker = closed.address().to_string();
    unreachable(&broker, "2s", &[]).stderr_has(&format!("kq: {broker}: connection refused; trying for 2s\n"));
}

#[test]
fn produce_and_consume_say_which_broker_they_wait_for_unless_quiet() {
    let closed = Refusing::bind();
    let broker = closed.address().to_string();
    let note = format!("kq: {broker}: connection refused; trying for 2s\n");
    for command in ["produce", "consume"] {
        let run = |args: &[&str]| {
            Kq::new(["-b", &broker, "--timeout", "2s", command, "foo"]).args(args).run().status(2)
        };
        run(&[]).stderr_has(&note);
        run(&["-q"]).stderr_lacks("trying for").stderr_has("connection refused");
    }
}

#[test]
fn librdkafka_speaks_with_vv_only() {
    let closed = Refusing::bind();
    let broker = closed.address().to_string();
    unreachable(&broker, "1s", &[]).stderr_lacks("librdkafka").stderr_lacks("thrd");
    unreachable(&broker, "1s", &["-vv"]).stderr_has("librdkafka: FAIL");
}

#[test]
fn a_name_that_does_not_resolve_is_named() {
    unreachable("no-such-host.invalid:9092", "1s", &[]).stderr_has("the name does not resolve: ");
}

#[test]
fn several_dead_brokers_are_all_named() {
    let closed = [Refusing::bind(), Refusing::bind()];
    let [one, two] = [0, 1].map(|n: usize| closed[n].address().to_string());
    Kq::new(["-b", &format!("{one},{two}"), "--timeout", "3s", "topic", "list", "-q"])
        .run()
        .status(2)
        .stderr_has(&one)
        .stderr_has(&two);
}

#[test]
fn a_server_that_never_answers_is_no_hang() {
    let silent = server(|stream| {
        let mut stream = stream;
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    unreachable(&silent, "3s", &["-q"]).stderr_has("connected, but no answer to the first request");
    unreachable(&silent, "3s", &["-q", "--tls"]).stderr_has("no answer to the TLS handshake");
}

/// librdkafka refuses a client whose requests may not take as long as a fetch waits.
#[test]
fn a_short_timeout_still_makes_a_client() {
    let closed = Refusing::bind();
    let broker = closed.address().to_string();
    let args = ["-b", &broker, "--timeout", "1ms", "consume", "foo", "-e", "--stall-timeout", "1s"];
    let run = Kq::new(args).env("KQ_X", "fetch.wait.max.ms=5000").run();
    run.status(2).stderr_has("can't reach").stderr_lacks("fetch.wait.max.ms");
}

#[test]
fn consume_ends_within_the_timeout_with_the_cause() {
    let silent = server(|mut stream| {
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let unresolved = "no-such-host.invalid:9092".to_owned();
    for (broker, cause) in [(silent, "no answer to the first request"), (unresolved, "does not resolve")] {
        Kq::new(["-b", &broker, "--timeout", "3s", "consume", "foo", "-q"])
            .run()
            .status(2)
            .stdout("")
            .demand("an end within the time-out", |o| o.took < Duration::from_secs(9))
            .stderr_has(cause);
    }
}

#[test]
fn a_broker_without_defaults_for_new_topics_is_known_and_one_that_goes_is_named() {
    let run = |broker: &str, args: &[&str]| {
        Kq::new(["topic", "-b", broker, "--timeout", "2s", "-q"]).args(args).run().status(2).stdout("")
    };
    let old = broker(3, |_| {});
    run(&old, &["create", "foo"])
        .stderr_has("create topic foo: ")
        .stderr_has("older than 2.4")
        .stderr_has("--rf");
    let silent = broker(4, |_| {});
    for command in ["create", "delete"] {
        run(&silent, &[command, "foo"])
            .demand("an end within the time-out", |o| o.took < Duration::from_secs(9))
            .stderr_has(&format!("{command} topic foo: no answer within 2s from {silent}"))
            .stderr_has("it may have been done nevertheless (`kq topic list` and `describe` show)");
    }
    // It has no IncrementalAlterConfigs.
    run(&silent, &["alter", "foo", "--config", "a=b"])
        .stderr_has("alter topic foo: the broker does not understand it")
        .stderr_has("Apache Kafka 2.3 or later");
    let closing = broker(4, |stream| drop(stream.shutdown(std::net::Shutdown::Both)));
    run(&closing, &["create", "foo", "-p", "1", "--rf", "1"])
        .stderr_has(&format!("create topic foo: {closing}: the connection was closed before an answer"))
        .stderr_has("done nevertheless")
        .stderr_lacks("2.4");
}

#[test]
fn tls_to_a_plain_text_port_is_a_mismatch_and_ends_at_once() {
    let plain = answering(b"\0\0\0\x08\0\0\0\x01\0\x23\0\0");
    Kq::new(["-b", &plain, "--tls", "--timeout", "50s", "topic", "list"])
        .run()
        .status(2)
        .stderr_has("TLS mismatch")
        .stderr_has("--no-tls");
}

#[test]
fn plain_text_to_a_tls_port_is_a_mismatch_and_ends_within_the_timeout() {
    // A TLS server answers a client that it does not understand with an alert.
    let tls = answering(&[0x15, 3, 3, 0, 2, 2, 70]);
    unreachable(&tls, "1s", &["-q"]).stderr_has("TLS mismatch").stderr_has("--tls");
}

#[test]
fn an_http_server_is_known_as_one() {
    let http = answering(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    unreachable(&http, "1s", &[]).stderr_has("an HTTP server answered, no Kafka broker");
}

#[test]
fn a_wrong_flag_is_a_usage_error() {
    Kq::new(["topic", "list", "--jason"])
        .run()
        .status(2)
        .stdout("")
        .stderr_has("--jason")
        .stderr_has("--json");
    Kq::new(["topik"]).run().status(2).stderr_has("topic");
    Kq::new([] as [&str; 0]).run().status(2).stdout("").stderr_has("Usage: kq");
}

#[test]
fn kcat_mode_flags_name_the_subcommand() {
    for (flag, instead) in [
        ("-P", "`kq produce TOPIC`"),
        ("-C", "`kq consume TOPIC`"),
        ("-G", "`kq consume TOPIC --group GROUP`"),
        ("-L", "`kq topic list`"),
        ("-Q", "`kq consume TOPIC --from @TIME`"),
    ] {
        Kq::new([flag, "-b", "localhost", "-t", "foo"]).run().status(2).stdout("").stderr_has(instead);
        Kq::new(["-b", "localhost", flag]).run().status(2).stderr_has(instead);
        Kq::new(["-b", "localhost", "-t", "foo", flag]).run().status(2).stdout("").stderr_has(instead);
        Kq::new(["-t", "foo", &format!("{flag}e")]).run().status(2).stderr_has(instead);
    }
}

#[test]
fn a_mode_flag_of_kcat_in_a_workers_command_draws_no_hint() {
    Kq::new(["-t", "foo", "--", "kcat", "-C"]).run().status(2).stderr_lacks("kcat's");
    Kq::new(["topic", "list", "--no-such", "-G"]).run().status(2).stderr_lacks("kcat's");
}

#[test]
fn a_property_that_is_none_draws_the_nearest_right_name() {
    Kq::new(["topic", "list", "-X", "fetch.wait.max.sm=1"]).run().status(2).stderr(
        "kq: -X `fetch.wait.max.sm`: librdkafka has no such property; did you mean `fetch.wait.max.ms`?\n",
    );
    Kq::new(["topic", "list"])
        .env("KQ_X", "client.idd=a")
        .run()
        .status(2)
        .stderr_has("KQ_X `client.idd`")
        .stderr_has("`client.id`");
    Kq::new(["topic", "list", "-X", "compression.codec=lzma"]).run().status(2).stderr_has("lzma");
    Kq::new(["topic", "list", "-X", "group.id=g"]).run().status(2).stderr_has("--group");
}

#[test]
fn a_property_that_would_lose_records_or_make_topics_is_refused_and_of_a_file_not_used() {
    for (property, instead) in [
        (
            "auto.offset.reset=latest",
            "kq reports records that were deleted; use --from, and --reset for a group",
        ),
        ("allow.auto.create.topics=true", "`kq topic create` creates topics"),
    ] {
        let name = property.split('=').next().expect("a name");
        Kq::new(["consume", "foo", "-X", property]).run().status(2).stderr_has(&format!("-X `{name}`"));
        Kq::new(["worker", "foo", "--", "cat"]).env("KQ_X", property).run().status(2).stderr_has(instead);
        let kq = Kq::new(["config", "show", "-F", "f"]);
        kq.file("f", format!("{property}\n"));
        kq.run()
            .success()
            .stderr_has(&format!("not used: {name} ("))
            .demand("no such line", |o| !o.text().contains(name));
    }
}

#[test]
fn x_list_prints_every_property_with_its_default() {
    let output = Kq::new(["-X", "list"]).run().success();
    assert!(output.lines().len() > 150, "{output}");
    output.stdout_has("fetch.wait.max.ms").stdout_has("(default 500)");
}

#[test]
fn the_list_of_properties_ends_quietly_where_stdout_is_closed() {
    Kq::program("sh", ["-c", "kq -X list | head -1; kq -X list | true"]).run().success().stderr("");
}

#[test]
fn a_full_disk_is_an_error_that_says_so() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("open /dev/full");
    let full = || full.try_clone().expect("another handle");
    for line in [&["-X", "list"][..], &["--help"], &["topic", "list", "-h"], &["--version"]] {
        Kq::new(line).stdout_to(full()).run().status(2).stderr_has("write stdout: No space left");
    }
    Kq::program("sh", ["-c", "kq --help | true"]).run().success().stderr("");
}

#[test]
fn no_topic_names_both_ways_to_name_one() {
    Kq::new(["topic", "create"])
        .env("KQ_TOPIC", "")
        .run()
        .status(2)
        .stderr("kq: no topic: name it as the argument or with -t TOPIC, or set KQ_TOPIC\n");
}

#[test]
fn an_illegal_topic_name_is_refused_before_any_connection() {
    Kq::new(["topic", "create", "a topic"]).run().status(2).stderr_has("`a topic` can't be a topic's name");
    let kq = Kq::new(["topic", "create", "./data.jsonl"]);
    kq.file("data.jsonl", "{}\n");
    kq.run().status(2).stderr_has("kq produce TOPIC ./data.jsonl");
}

#[test]
fn settings_that_are_none_are_named_with_where_they_came_from() {
    Kq::new(["topic", "list", "--timeout", "soon"]).run().status(2).stderr_has("--timeout: `soon`");
    Kq::new(["topic", "list"]).env("KQ_TIMEOUT", "soon").run().status(2).stderr_has("KQ_TIMEOUT: `soon`");
    Kq::new(["topic", "list"]).env("KQ_BROKERS", "host:port").run().status(2).stderr_has("KQ_BROKERS");
    Kq::new(["topic", "list", "--tls-ca", "nowhere.pem"]).run().status(2).stderr_has("--tls-ca nowhere.pem");
}

#[test]
fn empty_variables_count_as_unset() {
    let closed = Refusing::bind();
    let broker = closed.address().to_string();
    let mut kq = Kq::new(["topic", "list", "-q", "-b", &broker, "--timeout", "2"]);
    for name in
        ["KQ_BROKERS", "KQ_TIMEOUT", "KQ_TLS", "KQ_SASL_MECHANISM", "KQ_TLS_CA", "KQ_X", "KQ_CLIENT_ID"]
    {
        kq = kq.env(name, "");
    }
    kq.run().status(2).stderr_has(&format!("can't reach {broker}: connection refused"));
}

#[test]
fn secrets_are_in_no_help_and_no_error() {
    let secret = "hunter2";
    let closed = Refusing::bind();
    let broker = closed.address().to_string();
    let sasl = ["--sasl-mechanism", "PLAIN", "--sasl-username", "me", "--timeout", "2s", "-vvv"];
    for args in [
        &["--help"][..],
        &["topic", "create", "--help"],
        &["topic", "list", "-b", &broker],
        &["topic", "list", "-X", "sasl.pasword=hunter2"],
        &["topic", "list", "-X", "sasl.password hunter2"],
        &["topic", "list", "-X", "sasl.jaas.config=a.B required password=\"hunter2\";"],
        &["topic", "list", "--sasl-mechanism", "LDAP"],
    ] {
        let kq = Kq::new(args).env("KQ_SASL_PASSWORD", secret).env("KQ_TLS_KEY_PASSWORD", "");
        let kq = if args.contains(&"-b") { kq.args(sasl) } else { kq };
        let output = kq.run();
        assert!(!output.text().contains(secret) && !output.stderr.contains(secret), "{output}");
    }
}

#[test]
fn a_file_of_java_is_read_shown_and_ranked() {
    let text = "bootstrap.servers=file:1\nclient.id: file\nkey.serializer=x\nsecurity.protocol=SASL_SSL\n\
        sasl.mechanism=PLAIN\nsasl.jaas.config=a.PlainLoginModule required \\\n  username=\"u\" password=\"hunter2\";\n";
    let kq = Kq::new(["config", "show", "-F", "client.properties"]).env("KQ_CLIENT_ID", "env");
    kq.file("client.properties", text);
    let out = kq.run().success().stderr("kq: client.properties: not used: key.serializer\n");
    let row = |name: &str| {
        let row = out.lines().into_iter().find(|line| line.starts_with(&format!("{name} ")));
        row.unwrap_or_else(|| panic!("{name} in {out}")).split_whitespace().skip(1).collect::<Vec<_>>()
    };
    assert_eq!(row("bootstrap.servers"), ["file:1", "client.properties"]);
    assert_eq!(row("client.id"), ["env", "KQ_CLIENT_ID"]);
    assert_eq!(row("sasl.username"), ["u", "client.properties"]);
    assert_eq!(row("sasl.password"), ["***", "client.properties"]);
    assert_eq!(row("timeout"), ["10s", "default"]);
    assert_eq!(row("security.protocol"), ["SASL_SSL", "client.properties"]);
    let kq = Kq::new(["config", "show", "-F", "f"]);
    kq.file("f", "ssl.ca.pem=a\\nb\\tc\n");
    kq.run().success().stdout_has("a\\nb\\tc ").stdout_has("security.protocol ");
    let kq = Kq::new(["config", "show", "--json", "-b", "flag:1"]).env("KQ_CONFIG_FILE", "f");
    kq.file("f", text);
    kq.run()
        .success()
        .stdout_has("{\"from\":\"-b/--brokers\",\"name\":\"bootstrap.servers\",\"value\":\"flag:1\"}\n");
}

#[test]
fn a_file_that_can_not_be_kept_is_an_error_with_its_line() {
    for (text, part) in [
        (
            "client.id=a\nssl.truststore.location=/a.jks\n",
            "kq: f ssl.truststore.location=/a.jks: No such file or directory",
        ),
        (
            "security.protocol=SASL_SSL\n",
            "kq: f security.protocol=SASL_SSL needs a mechanism: give sasl.mechanism",
        ),
        ("KafkaClient {\n  a.PlainLoginModule required;\n};\n", "kq: f is a JAAS file"),
        ("security.providers=x\n", "kq: f:1 security.providers: "),
        ("linger.ms=soon\n", "kq: f:1 linger.ms=soon: "),
    ] {
        let kq = Kq::new(["topic", "list", "-F", "f"]);
        kq.file("f", text);
        kq.run().status(2).stdout("").stderr_has(part);
    }
    Kq::new(["topic", "list", "-F", "no"]).run().status(2).stderr_has("-F/--config-file no: No such file");
}

#[test]
fn the_version_names_librdkafka_and_its_features() {
    Kq::new(["--version"]).run().success().stdout_has("\nlibrdkafka ").stdout_has("zstd").stdout_has("ssl");
    Kq::new(["-V"]).run().success().stdout(format!("kq {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn every_command_shows_examples_and_its_aliases() {
    for command in ["list", "describe", "delete", "create", "alter"] {
        Kq::new(["topic", command, "-h"]).run().success().stdout_has(&format!("\n  kq topic {command}"));
    }
    Kq::new(["config", "-h"]).run().success().stdout_has("\n  kq config show");
    Kq::new(["consume", "-h"]).run().success().stdout_has("[alias: -c]");
}

#[test]
fn the_short_help_is_short_and_the_long_one_has_the_four_lines() {
    let short = Kq::new(["-h"]).run().success();
    assert!(short.lines().len() < 45, "{short}");
    let mut long = Kq::new(["--help"]).run().success();
    for line in [
        "KQ_TOPIC=foo kq topic create --partitions 4 --rf 2",
        "cat data.jsonl | kq produce foo",
        "kq consume foo --group g",
        "kq worker foo -- ./handler.sh",
        "KQ_BROKERS",
        "KQ_SASL_PASSWORD",
    ] {
        long = long.stdout_has(line);
    }
}
