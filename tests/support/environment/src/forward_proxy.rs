//! A proxy as networks have one on their way out: it takes CONNECT, plain HTTP and SOCKS5 on one port of 127.0.0.1.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use harness::http::{accept, lock};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// How a client asks a proxy for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// CONNECT.
    Connect,
    /// A request for an `http://` URL.
    Plain,
    /// SOCKS5.
    Socks,
}

/// A connection that a client has asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// How.
    pub protocol: ProxyProtocol,
    /// Host and port.
    pub target: String,
    /// Value of `Proxy-Authorization`, or `user:password` of SOCKS.
    pub authorization: Option<String>,
}

/// What a proxy does when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyAnswer {
    /// It connects.
    Pass,
    /// It refuses with this HTTP status, or as SOCKS does.
    Refuse(u16),
    /// It says nothing, and keeps the connection.
    Silence,
}

/// A running proxy. Dropping it closes its port and its connections.
pub struct ForwardProxy {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    server: JoinHandle<()>,
}

struct State {
    asked: Vec<Asked>,
    answer: ProxyAnswer,
    addresses: HashMap<String, String>,
}

impl ForwardProxy {
    /// Starts a proxy that passes everything on.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State {
            asked: Vec::new(),
            answer: ProxyAnswer::Pass,
            addresses: HashMap::new(),
        }));
        let shared = state.clone();
        let server = tokio::spawn(accept(listener, move |client| {
            let state = shared.clone();
            // Its error is one of the client or the server, which see it too.
            async move { drop(serve(client, &state).await) }
        }));
        Ok(Self { address, state, server })
    }

    /// Host and port.
    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// Connects to `address` where a client asks for `target`, both with a port.
    pub fn resolve(&self, target: &str, address: &str) {
        lock(&self.state).addresses.insert(target.to_owned(), address.to_owned());
    }

    /// From here on, answers like this.
    pub fn set_answer(&self, answer: ProxyAnswer) {
        lock(&self.state).answer = answer;
    }

    /// The connections that clients have asked for so far, whatever the answer.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.state).asked.clone()
    }
}

impl Drop for ForwardProxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Notes what a client asks for. Returns the answer, and where to connect.
fn note(state: &Mutex<State>, asked: Asked) -> (ProxyAnswer, String) {
    let mut state = lock(state);
    let address = state.addresses.get(&asked.target).unwrap_or(&asked.target).clone();
    state.asked.push(asked);
    (state.answer, address)
}

async fn serve(client: TcpStream, state: &Mutex<State>) -> io::Result<()> {
    let mut first = [0];
    client.peek(&mut first).await?;
    if first == [5] { serve_socks(client, state).await } else { serve_http(client, state).await }
}

async fn serve_http(mut client: TcpStream, state: &Mutex<State>) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if client.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let mut words = text.split_whitespace();
    let (method, url) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let authorization = text.lines().find_map(|line| {
        line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("proxy-authorization"))
    });
    let authorization = authorization.map(|(_, value)| value.to_owned());
    let is_connect = method == "CONNECT";
    let target = if is_connect {
        url.to_owned()
    } else {
        url.trim_start_matches("http://").split('/').next().unwrap_or_default().to_owned()
    };
    let protocol = if is_connect { ProxyProtocol::Connect } else { ProxyProtocol::Plain };
    let server = match note(state, Asked { protocol, target, authorization }) {
        (ProxyAnswer::Pass, address) => TcpStream::connect(address).await.map_err(|_| 502),
        (ProxyAnswer::Refuse(status), _) => Err(status),
        (ProxyAnswer::Silence, _) => std::future::pending().await,
    };
    let mut server = match server {
        Ok(server) => server,
        Err(status) => {
            return client
                .write_all(format!("HTTP/1.1 {status} Refused\r\ncontent-length: 0\r\n\r\n").as_bytes())
                .await;
        }
    };
    if is_connect {
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    } else {
        // A server takes whole URLs too, so that what follows on this connection need not be read.
        server.write_all(&head).await?;
    }
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

async fn serve_socks(mut client: TcpStream, state: &Mutex<State>) -> io::Result<()> {
    const PASSWORD: u8 = 2;
    client.read_u8().await?;
    let methods = read_text(&mut client).await?;
    let authorization = if methods.bytes().any(|method| method == PASSWORD) {
        client.write_all(&[5, PASSWORD]).await?;
        client.read_u8().await?;
        let (user, password) = (read_text(&mut client).await?, read_text(&mut client).await?);
        client.write_all(&[1, 0]).await?;
        Some(format!("{user}:{password}"))
    } else {
        client.write_all(&[5, 0]).await?;
        None
    };
    let mut request = [0; 4];
    client.read_exact(&mut request).await?;
    let host = match request[3] {
        1 => Ipv4Addr::from(client.read_u32().await?).to_string(),
        3 => read_text(&mut client).await?,
        kind => return Err(io::Error::other(format!("addresses of kind {kind} are not known here"))),
    };
    let target = format!("{host}:{}", client.read_u16().await?);
    let (answer, address) = note(state, Asked { protocol: ProxyProtocol::Socks, target, authorization });
    match answer {
        ProxyAnswer::Pass => {
            let mut server = TcpStream::connect(address).await?;
            client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
            copy_bidirectional(&mut client, &mut server).await?;
            Ok(())
        }
        ProxyAnswer::Refuse(_) => client.write_all(&[5, 2, 0, 1, 0, 0, 0, 0, 0, 0]).await,
        ProxyAnswer::Silence => std::future::pending().await,
    }
}

/// Reads as many bytes as the first one says.
async fn read_text(client: &mut TcpStream) -> io::Result<String> {
    let mut text = vec![0; client.read_u8().await?.into()];
    client.read_exact(&mut text).await?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
