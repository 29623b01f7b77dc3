//! Free ports for the servers.

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use anyhow::anyhow;

const ATTEMPTS: usize = 3;

/// Ports that nothing listened on a moment ago.
pub(crate) fn free_ports<const N: usize>() -> anyhow::Result<[u16; N]> {
    let port = |listener: &TcpListener| listener.local_addr().map(|address| address.port());
    let find = || -> io::Result<[u16; N]> {
        // All are held until the last is known, so that they differ.
        let listeners =
            (0..N).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<io::Result<Vec<_>>>()?;
        let mut ports = [0; N];
        for (slot, listener) in ports.iter_mut().zip(&listeners) {
            *slot = port(listener)?;
        }
        Ok(ports)
    };
    find().map_err(|error| anyhow!("cannot find a free port on 127.0.0.1: {error}"))
}

/// Tries again if another program takes one of the ports before the server listens on it.
pub(crate) fn with_free_ports<T>(start: impl Fn() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let mut attempt = 1;
    loop {
        match start() {
            Err(error) if is_port_taken(&error) && attempt < ATTEMPTS => attempt += 1,
            result => return result,
        }
    }
}

/// Whether a server has ended since another process took its port first.
fn is_port_taken(error: &anyhow::Error) -> bool {
    let said = error.to_string();
    said.contains("it ended with") && said.contains("address already in use")
}

pub(crate) fn listens(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use anyhow::bail;

    use super::*;

    #[test]
    fn free_ports_differ() {
        let [one, other] = free_ports().unwrap();
        assert_ne!(one, other);
    }

    #[test]
    fn a_taken_port_is_tried_again_a_few_times_and_another_failure_is_not() {
        let taken = "cannot start etcd: it ended with exit status: 1; the end of etcd.log:\nbind: address already in use";
        for (failures, said, starts) in [(2, taken, 3), (9, taken, 3), (9, "unknown flag", 1)] {
            let tried = Cell::new(0);
            let result = with_free_ports(|| {
                tried.set(tried.get() + 1);
                if tried.get() > failures { Ok(()) } else { bail!("{said}") }
            });
            assert_eq!((result.is_ok(), tried.get()), (failures < starts, starts), "{said}");
        }
    }
}
