//! Free ports for the servers.

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use crate::Error;

const ATTEMPTS: usize = 3;

/// Ports that nothing listened on a moment ago.
pub(crate) fn free_ports<const N: usize>() -> Result<[u16; N], Error> {
    let port = |listener: &TcpListener| listener.local_addr().map(|address| address.port());
    let find = || {
        // All are held until the last is known, so that they differ.
        let listeners =
            (0..N).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<io::Result<Vec<_>>>()?;
        let mut ports = [0; N];
        for (slot, listener) in ports.iter_mut().zip(&listeners) {
            *slot = port(listener)?;
        }
        Ok(ports)
    };
    find().map_err(|source| Error::System { action: "find a free port on 127.0.0.1".to_owned(), source })
}

/// Tries again if another program takes one of the ports before the server listens on it.
pub(crate) fn with_free_ports<T>(start: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
    let mut attempt = 1;
    loop {
        match start() {
            Err(error) if error.is_port_taken() && attempt < ATTEMPTS => attempt += 1,
            result => return result,
        }
    }
}

pub(crate) fn listens(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn ended(tail: &str) -> Error {
        Error::Ended {
            component: "etcd",
            status: std::process::ExitStatus::from_raw(256),
            log: "etcd.log".into(),
            tail: tail.to_owned(),
        }
    }

    #[test]
    fn free_ports_differ() {
        let [one, other] = free_ports().unwrap();
        assert_ne!(one, other);
    }

    #[test]
    fn a_taken_port_is_tried_again_a_few_times() {
        let starts = Cell::new(0);
        let result = with_free_ports(|| {
            starts.set(starts.get() + 1);
            if starts.get() < 3 { Err(ended("bind: address already in use")) } else { Ok(()) }
        });
        assert!(result.is_ok());

        starts.set(-10);
        let result = with_free_ports(|| {
            starts.set(starts.get() + 1);
            Err::<(), _>(ended("bind: address already in use"))
        });
        assert!(result.is_err() && starts.get() == -7);
    }

    #[test]
    fn another_failure_is_not_tried_again() {
        let starts = Cell::new(0);
        let result = with_free_ports(|| {
            starts.set(starts.get() + 1);
            Err::<(), _>(ended("unknown flag"))
        });
        assert!(result.is_err() && starts.get() == 1);
    }
}
