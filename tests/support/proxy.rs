//! A proxy in front of a broker: it says what address the cluster advertises, and holds up, drops and cuts.
//!
//! ```ignore
//! let proxy = Proxy::to(cluster.brokers());
//! proxy.advertise("kafka-0.invalid:9092");
//! proxy.kq(["topic", "list"]).run().success();
//! proxy.set(Link::Silent);
//! proxy.cut();
//! ```

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{
    ApiKey, DescribeClusterResponse, FindCoordinatorResponse, MetadataResponse, ResponseHeader,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

use super::Kq;

/// What the proxy does with the frames of all its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// It passes them on.
    Open,
    /// It passes each response on after this time.
    Late(Duration),
    /// It accepts connections, reads requests, and answers none: they are lost.
    Silent,
    /// It closes each new connection at once. Those that are there stay.
    Refusing,
}

/// A proxy of one broker, on a free port of 127.0.0.1. Clients that connect to it learn one address of
/// all brokers, its own to begin with. Dropped, it closes its connections and takes no more.
pub struct Proxy {
    address: String,
    state: Arc<State>,
}

/// What the threads of a proxy share.
struct State {
    broker: String,
    advertised: Mutex<(String, i32)>,
    link: Mutex<Link>,
    /// Both ends of each connection.
    open: Mutex<Vec<TcpStream>>,
    accepted: AtomicUsize,
    is_over: AtomicBool,
}

/// By correlation id: the API and the version of a request that was passed on.
type Asked = Mutex<HashMap<i32, (ApiKey, i16)>>;

impl Proxy {
    /// A proxy to this broker, `host:port`. It connects only for a client that connects to it.
    #[track_caller]
    pub fn to(broker: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address").to_string();
        let state = Arc::new(State {
            broker: broker.to_owned(),
            advertised: Mutex::new(parts(&address)),
            link: Mutex::new(Link::Open),
            open: Mutex::default(),
            accepted: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&state);
        std::thread::spawn(move || accepting.accept(&listener));
        Self { address, state }
    }

    /// Where it listens, `host:port`: the bootstrap address for clients.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// `kq ARGS…` with `KQ_BROKERS` set to this proxy.
    pub fn kq<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Kq {
        Kq::new(args).env("KQ_BROKERS", &self.address)
    }

    /// From now on all brokers have this address, `host:port`, in responses of Metadata, `FindCoordinator`
    /// and `DescribeCluster`.
    #[track_caller]
    pub fn advertise(&self, address: &str) {
        *lock(&self.state.advertised) = parts(address);
    }

    /// Changes what it does with frames, of connections that are there too.
    pub fn set(&self, link: Link) {
        *lock(&self.state.link) = link;
    }

    /// Closes all connections that are there now.
    pub fn cut(&self) {
        for stream in lock(&self.state.open).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// How many connections it has accepted so far.
    pub fn accepted(&self) -> usize {
        self.state.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::Relaxed);
        // The thread that accepts sees it with the next connection.
        let _ = TcpStream::connect(&self.address);
        self.cut();
    }
}

impl State {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming() {
            if self.is_over.load(Ordering::Relaxed) {
                return;
            }
            self.accepted.fetch_add(1, Ordering::Relaxed);
            if let (Ok(client), true) = (client, *lock(&self.link) != Link::Refusing) {
                // A connection that fails is the client's to notice.
                let _ = self.serve(client);
            }
        }
    }

    /// Two threads for a connection: one for each way.
    fn serve(self: &Arc<Self>, client: TcpStream) -> io::Result<()> {
        let broker = TcpStream::connect(&self.broker)?;
        client.set_nodelay(true)?;
        broker.set_nodelay(true)?;
        lock(&self.open).extend([client.try_clone()?, broker.try_clone()?]);
        let asked = Arc::new(Asked::default());
        let (this, requests) = (Arc::clone(self), Arc::clone(&asked));
        let (from, to) = (client.try_clone()?, broker.try_clone()?);
        std::thread::spawn(move || pump(from, to, |frame| this.take_request(&requests, frame)));
        let this = Arc::clone(self);
        std::thread::spawn(move || pump(broker, client, |frame| this.take_response(&asked, frame)));
        Ok(())
    }

    /// The request as it goes on; `None` where it is lost.
    fn take_request(&self, asked: &Asked, frame: Vec<u8>) -> Option<Vec<u8>> {
        let number = |at: usize| Some(i16::from_be_bytes(frame.get(at..at + 2)?.try_into().ok()?));
        let (key, version) = (ApiKey::try_from(number(0)?).ok(), number(2)?);
        let correlation = i32::from_be_bytes(frame.get(4..8)?.try_into().ok()?);
        if let Some(key @ (ApiKey::Metadata | ApiKey::FindCoordinator | ApiKey::DescribeCluster)) = key {
            lock(asked).insert(correlation, (key, version));
        }
        (*lock(&self.link) != Link::Silent).then_some(frame)
    }

    /// The response as it goes on; `None` where it is lost.
    fn take_response(&self, asked: &Asked, frame: Vec<u8>) -> Option<Vec<u8>> {
        let correlation = i32::from_be_bytes(frame.get(..4)?.try_into().ok()?);
        let request = lock(asked).remove(&correlation);
        let frame = match request {
            Some((key, version)) => self.rewrite(key, version, frame),
            None => frame,
        };
        let link = *lock(&self.link);
        if let Link::Late(time) = link {
            std::thread::sleep(time);
        }
        (link != Link::Silent).then_some(frame)
    }

    /// The response with the advertised address for each broker that it names.
    fn rewrite(&self, key: ApiKey, version: i16, frame: Vec<u8>) -> Vec<u8> {
        let (host, port) = lock(&self.advertised).clone();
        let host = StrBytes::from_string(host);
        let mut from = Bytes::from(frame);
        let header_version = key.response_header_version(version);
        let header = ResponseHeader::decode(&mut from, header_version).expect("a response's header");
        let mut to = BytesMut::new();
        header.encode(&mut to, header_version).expect("write a header");
        match key {
            ApiKey::Metadata => change(&mut from, &mut to, version, |response: &mut MetadataResponse| {
                for broker in &mut response.brokers {
                    (broker.host, broker.port) = (host.clone(), port);
                }
            }),
            ApiKey::DescribeCluster => {
                change(&mut from, &mut to, version, |response: &mut DescribeClusterResponse| {
                    for broker in &mut response.brokers {
                        (broker.host, broker.port) = (host.clone(), port);
                    }
                });
            }
            // One coordinator up to version 3, a list from 4 on. One that is not known has no id.
            _ => change(&mut from, &mut to, version, |response: &mut FindCoordinatorResponse| {
                if version < 4 && response.node_id.0 >= 0 {
                    (response.host, response.port) = (host.clone(), port);
                }
                for coordinator in response.coordinators.iter_mut().filter(|one| one.node_id.0 >= 0) {
                    (coordinator.host, coordinator.port) = (host.clone(), port);
                }
            }),
        }
        to.to_vec()
    }
}

fn change<R: Decodable + Encodable>(
    from: &mut Bytes,
    to: &mut BytesMut,
    version: i16,
    change: impl FnOnce(&mut R),
) {
    let mut response = R::decode(from, version).expect("a response");
    change(&mut response);
    response.encode(to, version).expect("write a response");
}

/// Passes frames on, each after its length of four bytes, until one end closes; then closes the other.
fn pump(mut from: TcpStream, mut to: TcpStream, mut take: impl FnMut(Vec<u8>) -> Option<Vec<u8>>) {
    let mut length = [0; 4];
    while from.read_exact(&mut length).is_ok() {
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        if from.read_exact(&mut frame).is_err() {
            break;
        }
        let Some(frame) = take(frame) else { continue };
        let whole = [&(frame.len() as u32).to_be_bytes(), &*frame].concat();
        if to.write_all(&whole).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// `host:port` as both.
#[track_caller]
fn parts(address: &str) -> (String, i32) {
    let (host, port) = address.rsplit_once(':').expect("host:port");
    (host.to_owned(), port.parse().expect("a port"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
