//! What a joined room needs of its server: access to its clients.

use super::delivery::Delivery;
use super::failure::JoinError;

/// The clients of this server. Called from the joined room's own threads, which hold no lock.
pub(in crate::server) trait Local: Send + Sync {
    /// Delivers this to clients of this server, in this order. Waits while readers hold the room, and returns when
    /// everything is delivered. Clients that have left are skipped.
    fn deliver(&self, deliveries: &[Delivery<'_>]);

    /// Ends all clients, because they have missed lines.
    fn cut_off_all(&self);

    /// Ends the server: it has never joined, and trying again cannot help.
    fn refused(&self, error: JoinError);
}
