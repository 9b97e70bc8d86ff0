//! docker-compose.yml as Compose reads it: anchors merged, `${NAME:-default}` substituted, ports and listeners named.

use std::collections::BTreeMap;

use serde_yaml_ng::Value;

/// The file, and what it says.
const TEXT: &str = include_str!("../../docker-compose.yml");

/// Variables of the shell that runs `docker compose`.
pub type Variables<'a> = BTreeMap<&'a str, &'a str>;

/// One service of the file.
#[derive(Debug)]
pub struct Service {
    pub name: String,
    pub image: String,
    pub profiles: Vec<String>,
    pub depends_on: Vec<String>,
    pub ports: Vec<Port>,
    pub environment: BTreeMap<String, String>,
    /// Each as `volume:/path/in/container`.
    pub volumes: Vec<String>,
    pub has_healthcheck: bool,
}

/// A published port: `host_ip:published:target`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    pub host_ip: String,
    pub published: u16,
    pub target: u16,
}

/// One of a broker's listeners or advertised listeners: `NAME://host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    pub name: String,
    pub host: String,
    pub port: u16,
}

/// The services of docker-compose.yml with these variables, and the volumes it declares.
pub fn read(variables: &Variables<'_>) -> (Vec<Service>, Vec<String>) {
    let text = substitute(TEXT, variables).unwrap_or_else(|e| panic!("docker-compose.yml: {e}"));
    let mut file: Value = serde_yaml_ng::from_str(&text).expect("docker-compose.yml is YAML");
    file.apply_merge().expect("its anchors merge");
    let volumes = keys(&file["volumes"]);
    let services = file["services"].as_mapping().expect("services");
    (services.iter().map(|(name, service)| Service::read(&scalar(name), service)).collect(), volumes)
}

impl Service {
    fn read(name: &str, service: &Value) -> Self {
        let environment = service["environment"].as_mapping().expect("an environment");
        Self {
            name: name.to_owned(),
            image: scalar(&service["image"]),
            profiles: list(&service["profiles"]),
            depends_on: keys(&service["depends_on"]),
            ports: list(&service["ports"]).iter().map(|port| Port::read(port)).collect(),
            environment: environment.iter().map(|(name, value)| (scalar(name), scalar(value))).collect(),
            volumes: list(&service["volumes"]),
            has_healthcheck: service["healthcheck"]["test"].is_sequence(),
        }
    }

    /// Whether this is a Kafka broker.
    pub fn is_broker(&self) -> bool {
        self.environment.contains_key("KAFKA_LISTENERS")
    }

    /// The listeners under `KAFKA_LISTENERS` or `KAFKA_ADVERTISED_LISTENERS`.
    pub fn listeners(&self, variable: &str) -> Vec<Listener> {
        let read = |text: &str| {
            let (name, address) = text.split_once("://")?;
            let (host, port) = address.rsplit_once(':')?;
            Some(Listener { name: name.to_owned(), host: host.to_owned(), port: port.parse().ok()? })
        };
        let all = self.environment[variable].split(',');
        all.map(|text| read(text).unwrap_or_else(|| panic!("{}: {variable}: {text}", self.name))).collect()
    }

    /// server.properties as the images make it of `KAFKA_*`: `_` is a dot, `__` an underscore, `___` a dash.
    pub fn properties(&self) -> BTreeMap<String, String> {
        const OF_THE_START_SCRIPT: [&str; 1] = ["KAFKA_HEAP_OPTS"];
        let named = self.environment.iter().filter(|(name, _)| !OF_THE_START_SCRIPT.contains(&name.as_str()));
        named
            .filter_map(|(name, value)| {
                let name = name.strip_prefix("KAFKA_")?.to_lowercase();
                let name = name.replace("___", "-").replace("__", "\0").replace('_', ".").replace('\0', "_");
                Some((name, value.clone()))
            })
            .collect()
    }
}

impl Port {
    fn read(text: &str) -> Self {
        let parts: Vec<_> = text.split(':').collect();
        let [host_ip, published, target] = parts[..] else { panic!("{text} is not ip:published:target") };
        let number = |text: &str| text.parse().unwrap_or_else(|e| panic!("port {text}: {e}"));
        Self { host_ip: host_ip.to_owned(), published: number(published), target: number(target) }
    }
}

/// Compose's substitution of `${NAME:-default}`, nested ones too; `$$` is a dollar.
///
/// Anything else that begins with a dollar is refused: this file needs no more.
fn substitute(text: &str, variables: &Variables<'_>) -> Result<String, String> {
    let mut done = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        done.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            done.push('$');
            rest = after;
            continue;
        }
        let inner = rest.strip_prefix('{').ok_or_else(|| format!("a bare dollar before {rest:.20}"))?;
        let end = closing(inner).ok_or_else(|| format!("no brace ends {rest:.40}"))?;
        let (name, default) =
            inner[..end].split_once(":-").ok_or_else(|| format!("no default in {}", &inner[..end]))?;
        match variables.get(name) {
            Some(value) if !value.is_empty() => done.push_str(value),
            _ => done.push_str(&substitute(default, variables)?),
        }
        rest = &inner[end + 1..];
    }
    done.push_str(rest);
    Ok(done)
}

/// Where the brace that closes an open one is.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 1;
    text.char_indices().find_map(|(at, c)| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        (depth == 0).then_some(at)
    })
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        other => panic!("expected text or a number, got {other:?}"),
    }
}

fn list(value: &Value) -> Vec<String> {
    value.as_sequence().map_or_else(Vec::new, |all| all.iter().map(scalar).collect())
}

fn keys(value: &Value) -> Vec<String> {
    value.as_mapping().map_or_else(Vec::new, |all| all.keys().map(scalar).collect())
}
