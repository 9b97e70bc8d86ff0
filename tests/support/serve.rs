//! `kq serve` that runs, a client that sends bytes as it is told, and what lies in a topic afterwards.
//!
//! ```ignore
//! let cluster = Cluster::get();
//! let topic = cluster.create("orders", 1);
//! let serve = Serve::start(&cluster, [&topic]);
//! serve.post(&topic, "application/json", r#"{"id":1}"#).demand(200);
//! assert_eq!(stored(&cluster, &topic)[0].value.as_deref(), Some(&br#"{"id":1}"#[..]));
//! ```

use std::ffi::OsStr;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::cluster::Cluster;
use super::kq::Kq;
use super::output::Output;
use super::running::Running;

/// How long an answer may take: longer than any time-out of `kq serve` that a test leaves at its default.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long `kq serve` may run.
const LIFE: Duration = Duration::from_mins(10);
/// How long a test waits to see that nothing comes.
pub const QUIET: Duration = Duration::from_millis(500);

/// `kq serve` on a free port of loopback. Dropped, it is killed.
pub struct Serve {
    running: Running,
    address: String,
}

impl Serve {
    /// `kq serve ARGS… --listen 127.0.0.1:0` against the cluster, once it listens.
    #[track_caller]
    pub fn start<S: AsRef<OsStr>>(cluster: &Cluster, args: impl IntoIterator<Item = S>) -> Self {
        Self::of(cluster.kq(["serve"]).args(args))
    }

    /// `kq serve …` as prepared, with an address of its own.
    #[track_caller]
    pub fn of(kq: Kq) -> Self {
        Self::at(kq, "127.0.0.1:0")
    }

    /// `kq serve …` as prepared, at this address.
    #[track_caller]
    pub fn at(kq: Kq, address: &str) -> Self {
        let running = kq.args(["--listen", address]).limit(LIFE).spawn();
        let address = running.wait_for_stdout(":");
        Self { running, address }
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its process.
    pub fn process(&self) -> &Running {
        &self.running
    }

    /// A connection to it.
    #[track_caller]
    pub fn connect(&self) -> Connection {
        Connection::to(&self.address)
    }

    /// One request on a connection of its own.
    #[track_caller]
    pub fn send(&self, call: &Call) -> Answer {
        self.connect().call(call)
    }

    /// `POST /topics/TOPIC` on a connection of its own.
    #[track_caller]
    pub fn post(&self, topic: &str, content_type: &str, body: impl AsRef<[u8]>) -> Answer {
        self.send(&Call::post(topic).header("content-type", content_type).body(body))
    }

    /// `POST /topics/TOPIC` of a JSON record.
    #[track_caller]
    pub fn json(&self, topic: &str, body: impl AsRef<[u8]>) -> Answer {
        self.post(topic, JSON, body)
    }

    /// `GET PATH` on a connection of its own.
    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.send(&Call::new("GET", path))
    }

    /// The value of a sample of `/metrics`, by its name and labels; 0 where it is not there.
    #[track_caller]
    pub fn metric(&self, sample: &str) -> f64 {
        let page = self.get("/metrics").demand(200);
        let value = page.text().lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.trim().parse().expect("a number"))
    }

    /// TERM.
    #[track_caller]
    pub fn terminate(&self) {
        self.running.terminate();
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(self) -> Output {
        self.running.wait()
    }

    /// TERM, and demands that it ends well.
    #[track_caller]
    pub fn end(self) -> Output {
        self.terminate();
        self.wait().success()
    }

    /// KILL.
    #[track_caller]
    pub fn kill(self) -> Output {
        self.running.kill()
    }
}

pub const JSON: &str = "application/json";
pub const NDJSON: &str = "application/x-ndjson";
pub const RECORDS: &str = "application/vnd.kq.record+json";

/// A request to be sent. `Host` and `Content-Length` are there unless they are left out.
#[derive(Clone)]
pub struct Call {
    method: String,
    target: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    length: bool,
    host: bool,
}

impl Call {
    pub fn new(method: &str, target: &str) -> Self {
        let (method, target) = (method.to_owned(), target.to_owned());
        Self { method, target, headers: Vec::new(), body: Vec::new(), length: true, host: true }
    }

    /// `POST /topics/TOPIC`; a query may follow the topic.
    pub fn post(topic: &str) -> Self {
        Self::new("POST", &format!("/topics/{topic}"))
    }

    /// One more header; its value may be any bytes.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    /// The media type.
    pub fn of_type(self, content_type: &str) -> Self {
        self.header("content-type", content_type)
    }

    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        body.as_ref().clone_into(&mut self.body);
        self
    }

    /// No `Content-Length`; the body is sent as it is given.
    pub fn without_length(mut self) -> Self {
        self.length = false;
        self
    }

    /// No `Host`.
    pub fn without_host(mut self) -> Self {
        self.host = false;
        self
    }

    /// The body in chunks of so many bytes, with these lines as trailers.
    pub fn chunked(mut self, size: usize, trailers: &[&str]) -> Self {
        let mut body = Vec::new();
        for chunk in self.body.chunks(size) {
            body.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            body.extend_from_slice(chunk);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"0\r\n");
        for trailer in trailers {
            body.extend_from_slice(trailer.as_bytes());
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"\r\n");
        self.body = body;
        self.without_length().header("transfer-encoding", "chunked")
    }

    /// The request's head alone.
    pub fn head(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        if self.host {
            head.extend_from_slice(b"Host: localhost\r\n");
        }
        for (name, value) in &self.headers {
            head.extend_from_slice(name.as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value);
            head.extend_from_slice(b"\r\n");
        }
        if self.length && (self.method == "POST" || !self.body.is_empty()) {
            head.extend_from_slice(format!("Content-Length: {}\r\n", self.body.len()).as_bytes());
        }
        head.extend_from_slice(b"\r\n");
        head
    }

    /// Head and body.
    pub fn bytes(&self) -> Vec<u8> {
        [self.head(), self.body.clone()].concat()
    }
}

/// A connection, and what was read from it beyond the answers that were taken.
pub struct Connection {
    stream: TcpStream,
    ahead: Vec<u8>,
}

impl Connection {
    /// A connection to `host:port`.
    #[track_caller]
    pub fn to(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap_or_else(|e| panic!("connect to {address}: {e}"));
        Self::over(stream)
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("send at once");
        stream.set_read_timeout(Some(PATIENCE)).expect("set a time-out");
        stream.set_write_timeout(Some(PATIENCE)).expect("set a time-out");
        Self { stream, ahead: Vec::new() }
    }

    /// The same where nobody may listen any more.
    pub fn attempt(address: &str) -> std::io::Result<Self> {
        TcpStream::connect(address).map(Self::over)
    }

    /// Sends all of this.
    #[track_caller]
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_write(bytes).expect("send");
    }

    /// Sends it; the other side may be gone.
    pub fn try_write(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Sends each byte by itself.
    #[track_caller]
    pub fn write_by_byte(&mut self, bytes: impl AsRef<[u8]>) {
        for byte in bytes.as_ref() {
            self.write([*byte]);
        }
    }

    /// Sends a request and reads its answer. The server may answer, and close, before it has read the whole body.
    #[track_caller]
    pub fn call(&mut self, call: &Call) -> Answer {
        let sent = self.try_write(call.bytes());
        self.try_answer(call.method == "HEAD").unwrap_or_else(|e| {
            let ahead = String::from_utf8_lossy(&self.ahead);
            panic!("no whole answer: {e}; sent: {sent:?}; so far {ahead:?}")
        })
    }

    /// Says that nothing more is sent, and reads on.
    #[track_caller]
    pub fn finish(&self) {
        self.stream.shutdown(Shutdown::Write).expect("shut down the sending side");
    }

    /// Closes with a reset: what is under way is lost, as when the client's machine goes.
    #[track_caller]
    pub fn reset(self) {
        rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO)).expect("set linger");
    }

    /// The next answer. `head_only`: it is for HEAD, without a body.
    #[track_caller]
    pub fn answer(&mut self, head_only: bool) -> Answer {
        self.try_answer(head_only).unwrap_or_else(|e| {
            panic!("no whole answer: {e}; so far {:?}", String::from_utf8_lossy(&self.ahead))
        })
    }

    /// The next answer; an error where the connection ends before it is whole, or nothing comes for long.
    pub fn try_answer(&mut self, head_only: bool) -> std::io::Result<Answer> {
        loop {
            if let Some((answer, length)) = parse(&self.ahead, head_only) {
                self.ahead.drain(..length);
                return Ok(answer);
            }
            self.read_more()?;
        }
    }

    /// Whether the other side closes without sending anything more.
    #[track_caller]
    pub fn is_closed(&mut self) -> bool {
        assert!(
            self.ahead.is_empty(),
            "more than the answers came: {:?}",
            String::from_utf8_lossy(&self.ahead)
        );
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(read) => read == 0,
            Err(e) => e.kind() == ErrorKind::ConnectionReset,
        }
    }

    /// Demands that nothing comes for [`QUIET`], and that the connection stays open.
    #[track_caller]
    pub fn is_quiet(&mut self) {
        assert!(self.ahead.is_empty(), "unread: {:?}", String::from_utf8_lossy(&self.ahead));
        self.stream.set_read_timeout(Some(QUIET)).expect("set a time-out");
        let mut byte = [0];
        let read = self.stream.read(&mut byte);
        let nothing =
            read.as_ref().is_err_and(|e| matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
        assert!(nothing, "expected silence, and there was {read:?} {byte:?}");
        self.stream.set_read_timeout(Some(PATIENCE)).expect("set a time-out");
    }

    fn read_more(&mut self) -> std::io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            read => {
                self.ahead.extend_from_slice(&buffer[..read]);
                Ok(())
            }
        }
    }
}

/// The first answer in these bytes, and how many of them it is; `None` where it is not whole.
fn parse(bytes: &[u8], head_only: bool) -> Option<(Answer, usize)> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().expect("a status");
    let header = |line: &str| {
        let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("not a header: {line:?}"));
        (name.to_ascii_lowercase(), value.trim().to_owned())
    };
    let mut answer = Answer { status, headers: lines.map(header).collect(), body: Vec::new() };
    let start = end + 4;
    if head_only || status < 200 || status == 204 || status == 304 {
        return Some((answer, start));
    }
    if answer.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        let mut at = start;
        loop {
            let line = at + bytes[at..].windows(2).position(|window| window == b"\r\n")?;
            let size = std::str::from_utf8(&bytes[at..line]).ok().map(|size| usize::from_str_radix(size, 16));
            let size = size.and_then(Result::ok).expect("the size of a chunk");
            answer.body.extend_from_slice(bytes.get(line + 2..line + 2 + size)?);
            at = line + 2 + size + 2;
            bytes.get(..at)?;
            if size == 0 {
                return Some((answer, at));
            }
        }
    }
    let length: usize = answer.header("content-length").map_or(0, |length| length.parse().expect("a length"));
    bytes.get(start..start + length)?.clone_into(&mut answer.body);
    Some((answer, start + length))
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case, in their order.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// A header's value, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(its, _)| its == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("an answer in UTF-8")
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("not JSON: {e}\n{self:?}\n{}", self.text()))
    }

    /// Demands this status.
    #[track_caller]
    pub fn demand(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{:?}\n{}", self.headers, String::from_utf8_lossy(&self.body));
        self
    }

    /// Demands a problem (RFC 9457) of this status and outcome.
    #[track_caller]
    pub fn refused(self, status: u16, outcome: &str) -> Self {
        let answer = self.demand(status);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
        let problem = answer.json();
        let said = ["status", "outcome"].map(|name| problem[name].clone());
        assert_eq!(said, [Value::from(status), outcome.into()], "{problem}");
        let is_text = |name: &str| problem[name].as_str().is_some_and(|text| !text.is_empty());
        assert!(["title", "code", "detail"].into_iter().all(is_text), "{problem}");
        answer
    }

    /// The short name of a problem.
    #[track_caller]
    pub fn code(&self) -> String {
        self.json()["code"].as_str().expect("a code").to_owned()
    }

    /// Demands that the problem's detail holds this text.
    #[track_caller]
    pub fn says(self, part: &str) -> Self {
        let problem = self.json();
        assert!(
            problem["detail"].as_str().is_some_and(|detail| detail.contains(part)),
            "{part:?}: {problem}"
        );
        self
    }

    /// Seconds in `Retry-After`.
    #[track_caller]
    pub fn retry_after(&self) -> u32 {
        let value = self.header("retry-after").unwrap_or_else(|| panic!("no Retry-After: {self:?}"));
        value.parse().expect("seconds")
    }

    /// Whether the connection is closed after it.
    pub fn closes(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// A record as it lies in a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub partition: i32,
    pub offset: i64,
    pub timestamp: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Stored {
    /// The value as text; empty where it is null.
    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(self.value.as_deref().unwrap_or_default()).expect("a value in UTF-8")
    }

    /// A header's value as text.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(its, _)| its == name)?;
        value.as_deref().map(|value| std::str::from_utf8(value).expect("a header in UTF-8"))
    }
}

/// A cluster, a topic of one partition, and `kq serve` of this topic with these flags.
#[track_caller]
pub fn serving(flags: &[&str]) -> (Cluster, String, Serve) {
    let cluster = Cluster::get();
    let topic = cluster.create("serve", 1);
    let serve = Serve::start(&cluster, [topic.as_str()].iter().chain(flags));
    (cluster, topic, serve)
}

/// All records of a topic, by partition and offset.
#[track_caller]
pub fn stored(cluster: &Cluster, topic: &str) -> Vec<Stored> {
    let output = cluster.kq(["consume", topic, "-e", "-J"]).limit(PATIENCE * 2).run();
    let mut records: Vec<_> = output.success().lines().into_iter().map(record).collect();
    records.sort_by_key(|record| (record.partition, record.offset));
    records
}

/// The values of a topic, as text.
#[track_caller]
pub fn stored_values(cluster: &Cluster, topic: &str) -> Vec<String> {
    stored(cluster, topic).iter().map(|record| record.text().to_owned()).collect()
}

/// A line of `kq consume -J`.
fn record(line: &str) -> Stored {
    let line: Value = serde_json::from_str(line).expect("JSON");
    let bytes = |name: &str| match (&line[name], &line[format!("{name}_base64")]) {
        (Value::String(text), _) => Some(text.clone().into_bytes()),
        (_, Value::String(text)) => Some(STANDARD.decode(text).expect("base64")),
        _ => None,
    };
    let header = |pair: &Value| {
        let value = match &pair[1] {
            Value::String(text) => Some(text.clone().into_bytes()),
            Value::Null => None,
            other => Some(STANDARD.decode(other["base64"].as_str().expect("base64")).expect("base64")),
        };
        (pair[0].as_str().expect("a name").to_owned(), value)
    };
    let number = |name: &str| line[name].as_i64().expect("a number");
    Stored {
        partition: number("partition") as i32,
        offset: number("offset"),
        timestamp: number("timestamp"),
        key: bytes("key"),
        value: bytes("value"),
        headers: line["headers"].as_array().into_iter().flatten().map(header).collect(),
    }
}

/// Waits until `look` gives an answer of this status; each one that it gave goes to `seen`.
#[track_caller]
pub fn wait_for_status(
    what: &str,
    status: u16,
    mut look: impl FnMut() -> Answer,
    mut seen: impl FnMut(&Answer),
) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = look();
        seen(&answer);
        if answer.status == status {
            return;
        }
        assert!(Instant::now() < deadline, "{what}: {status} does not come, the last was {answer:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
