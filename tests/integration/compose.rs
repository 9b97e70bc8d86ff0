//! docker-compose.yml without an engine: it parses, and its ports, listeners and volumes agree.

use std::collections::BTreeSet;

use crate::support::compose::{Port, Service, Variables, read};

fn services(variables: &[(&'static str, &'static str)]) -> Vec<Service> {
    read(&variables.iter().copied().collect::<Variables<'_>>()).0
}

fn brokers(variables: &[(&'static str, &'static str)]) -> Vec<Service> {
    services(variables).into_iter().filter(Service::is_broker).collect()
}

#[test]
fn by_default_there_are_three_kraft_brokers_and_nothing_else() {
    let services = services(&[]);
    let names: Vec<_> = services.iter().filter(|s| s.profiles.is_empty()).map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["kafka-1", "kafka-2", "kafka-3"]);
    let voters: Vec<_> = (1..=3).map(|n| format!("{n}@kafka-{n}:29093")).collect();
    for (service, id) in services.iter().zip(1..=3) {
        assert_eq!(service.environment["KAFKA_PROCESS_ROLES"], "broker,controller");
        assert_eq!(service.environment["KAFKA_NODE_ID"], id.to_string());
        assert_eq!(service.environment["KAFKA_CONTROLLER_QUORUM_VOTERS"], voters.join(","));
        assert_eq!(service.environment["KAFKA_DEFAULT_REPLICATION_FACTOR"], "3");
        assert_eq!(service.environment["KAFKA_MIN_INSYNC_REPLICAS"], "2");
    }
}

#[test]
fn the_zookeeper_form_is_one_broker_and_its_zookeeper_under_one_profile() {
    let services = services(&[]);
    let classic: Vec<_> = services.iter().filter(|s| s.profiles == ["zookeeper"]).collect();
    let names: Vec<_> = classic.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["zookeeper", "kafka-zk"]);
    assert_eq!(classic[1].depends_on, ["zookeeper"]);
    assert_eq!(classic[1].environment["KAFKA_ZOOKEEPER_CONNECT"], "zookeeper:2181");
    assert_eq!(classic[0].environment["ZOOKEEPER_CLIENT_PORT"], "2181");
}

#[test]
fn no_two_services_publish_one_port_and_the_first_is_where_kq_looks() {
    let ports: Vec<_> =
        services(&[]).iter().flat_map(|s| s.ports.clone()).map(|port| port.published).collect();
    let distinct: BTreeSet<_> = ports.iter().collect();
    assert_eq!(distinct.len(), ports.len(), "{ports:?}");
    assert_eq!(ports[0], 9092);
}

#[test]
fn each_broker_advertises_what_it_publishes_and_listens_on_what_it_advertises() {
    for my_ip in ["", "192.0.2.7"] {
        let expected_ip = if my_ip.is_empty() { "127.0.0.1" } else { my_ip };
        for broker in brokers(&[("MY_IP", my_ip)]) {
            let listeners = broker.listeners("KAFKA_LISTENERS");
            let port_of = |name: &str| listeners.iter().find(|l| l.name == name).expect("it listens").port;
            for advertised in broker.listeners("KAFKA_ADVERTISED_LISTENERS") {
                if advertised.name == "EXTERNAL" {
                    let published = Port {
                        host_ip: expected_ip.to_owned(),
                        published: advertised.port,
                        target: port_of("EXTERNAL"),
                    };
                    assert_eq!(broker.ports, [published], "{}", broker.name);
                    assert_eq!(advertised.host, expected_ip, "{}", broker.name);
                } else {
                    assert_eq!(advertised.host, broker.name, "brokers find each other by service name");
                    assert_eq!(advertised.port, port_of(&advertised.name), "{}", broker.name);
                }
            }
        }
    }
}

#[test]
fn another_address_can_be_bound_than_the_one_that_is_advertised() {
    for broker in brokers(&[("MY_IP", "203.0.113.9"), ("BIND_IP", "0.0.0.0")]) {
        assert_eq!(broker.ports[0].host_ip, "0.0.0.0");
        let advertised = broker.listeners("KAFKA_ADVERTISED_LISTENERS");
        assert!(advertised.iter().any(|l| l.name == "EXTERNAL" && l.host == "203.0.113.9"), "{advertised:?}");
    }
}

#[test]
fn each_service_keeps_its_data_in_a_declared_volume_and_says_when_it_is_ready() {
    let (services, declared) = read(&Variables::new());
    let mut used = Vec::new();
    for service in &services {
        assert!(service.has_healthcheck, "{}", service.name);
        assert!(service.image.contains(':') && !service.image.ends_with(":latest"), "{}", service.image);
        used.extend(
            service.volumes.iter().map(|volume| volume.split_once(':').expect("volume:path").0.to_owned()),
        );
        if let Some(dir) = service.environment.get("KAFKA_LOG_DIRS") {
            assert!(
                service.volumes[0].ends_with(&format!(":{dir}")),
                "{}: {:?}",
                service.name,
                service.volumes
            );
        }
    }
    used.sort();
    let mut declared = declared;
    declared.sort();
    assert_eq!(used, declared);
}

#[test]
fn environment_becomes_properties_as_the_images_do_it() {
    let kraft = &brokers(&[])[0];
    let properties = kraft.properties();
    assert_eq!(properties["node.id"], "1");
    assert_eq!(properties["advertised.listeners"], "INTERNAL://kafka-1:19092,EXTERNAL://127.0.0.1:9092");
    assert!(!properties.contains_key("heap.opts"), "{properties:?}");
    assert!(!properties.contains_key("id"), "CLUSTER_ID is for the formatting of the folder");
}
