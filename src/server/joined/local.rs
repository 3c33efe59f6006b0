//! All that a joined room needs of its server: its clients.

use super::delivery::Delivery;
use super::failure::JoinError;

/// What a joined room needs of its server. Called from the joined room's own threads, which hold no lock.
pub(in crate::server) trait Local: Send + Sync {
    /// Gives this to clients of this server, in this order. Waits while readers hold the room, and returns when
    /// nothing of it is left to be given. Clients that are not there any more are left out.
    fn deliver(&self, deliveries: &[Delivery<'_>]);

    /// Ends all clients, because they have missed lines.
    fn cut_off_all(&self);

    /// Ends the server: it has never joined, and trying again cannot help.
    fn refused(&self, error: JoinError);
}
