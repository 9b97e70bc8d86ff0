//! A small HTTP server that answers as a test says: one request a connection, with a length.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a client may leave a request unfinished, as it does when it is killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a client sent.
#[derive(Debug)]
pub struct Request {
    /// The path and what follows it.
    pub target: String,
    /// Names in lower case, in their order.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    /// A header's value, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(its, _)| its == name).map(|(_, value)| value.as_str())
    }
}

/// A server on a free port of loopback, until it is dropped.
pub struct HttpServer {
    address: String,
    ends: Arc<AtomicBool>,
    accepts: Option<JoinHandle<()>>,
}

impl HttpServer {
    /// Answers each whole request with a status and a body, several at the same time.
    pub fn start(answer: impl Fn(&Request) -> (u16, String) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen on loopback");
        let address = listener.local_addr().expect("its address").to_string();
        let ends = Arc::new(AtomicBool::new(false));
        let (seen, answer) = (Arc::clone(&ends), Arc::new(answer));
        let accepts = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if seen.load(Ordering::Relaxed) {
                    return;
                }
                let (Ok(stream), answer) = (stream, Arc::clone(&answer)) else { continue };
                std::thread::spawn(move || serve(stream, &*answer));
            }
        });
        Self { address, ends, accepts: Some(accepts) }
    }

    /// `http://host:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        // The connection wakes the thread that accepts.
        let _ = TcpStream::connect(&self.address);
        let _ = self.accepts.take().map(JoinHandle::join);
    }
}

/// One request and its answer. A client that goes before its request is whole has none.
fn serve(stream: TcpStream, answer: &dyn Fn(&Request) -> (u16, String)) {
    stream.set_read_timeout(Some(PATIENCE)).expect("set a time-out");
    let mut reader = BufReader::new(stream);
    let Some(request) = read(&mut reader) else { return };
    let (status, body) = answer(&request);
    let head = format!("HTTP/1.1 {status} -\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    // The client may be dead by now.
    let _ = reader.get_mut().write_all((head + &body).as_bytes());
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        Some(line.trim_end().to_owned())
    };
    let target = line()?.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        let line = line()?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut request = Request { target, headers, body: Vec::new() };
    let length = request.header("content-length").map_or(0, |length| length.parse().expect("a length"));
    request.body.resize(length, 0);
    reader.read_exact(&mut request.body).ok()?;
    Some(request)
}
