//! A port of this machine that refuses connections, until somebody is to listen there.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, listen, socket_with};

/// It is bound and nobody listens, so the kernel refuses connections, and gives the port to nobody else. A port that was
/// free a moment ago may be that of another test's server, or of a connection, by now.
pub struct Refusing {
    socket: OwnedFd,
    address: SocketAddr,
}

impl Refusing {
    /// A free port of loopback.
    pub fn bind() -> Self {
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None);
        let socket = socket.expect("a socket");
        bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).expect("bind to loopback");
        let address = getsockname(&socket).expect("its address").try_into().expect("an IP address");
        Self { socket, address }
    }

    /// Its host and port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens there from now on.
    pub fn listen(self) -> TcpListener {
        // Connections that nobody accepts wait.
        listen(&self.socket, 1024).expect("listen on loopback");
        self.socket.into()
    }
}
