//! Sockets that share a port, and workers that do not outlive their supervisor.

use std::io;
use std::net::{SocketAddr, TcpListener};

use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use socket2::{Domain, Protocol, Socket, Type};

/// Binds a socket that others of this user may bind too.
pub(crate) fn bind(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Listens where other workers listen too; the kernel chooses who gets a connection.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = bind(address)?;
    socket.listen(1024)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Makes the kernel end this process when the one that started it ends.
pub(crate) fn end_with(supervisor: u32) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::TERM))?;
    // It may have ended before that call.
    let parent = getppid().and_then(|parent| u32::try_from(parent.as_raw_pid()).ok());
    if parent != Some(supervisor) {
        return Err(io::Error::other("the supervisor is gone"));
    }
    Ok(())
}
