//! The address of this machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// The machine's own address, as other machines see it. `None` on a machine without a route to the outside.
///
/// It is the source address that the kernel would take for a packet to the outside, by its routing table. Nothing is
/// sent. IPv4 is asked first. Behind address translation it is the inner address.
pub fn own_address() -> Option<IpAddr> {
    // The destinations are reserved for documentation (RFC 5737, RFC 3849): no machine ever has them.
    let routes = [
        (IpAddr::from(Ipv4Addr::UNSPECIFIED), IpAddr::from(Ipv4Addr::new(192, 0, 2, 1))),
        (Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into()),
    ];
    routes.into_iter().find_map(|(any, outside)| {
        let socket = UdpSocket::bind((any, 0)).ok()?;
        socket.connect((outside, 9)).ok()?;
        let own = socket.local_addr().ok()?.ip();
        (!own.is_unspecified() && !own.is_loopback()).then_some(own)
    })
}
