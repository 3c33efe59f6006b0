/* What macOS does differently from Linux, played on Linux for the suite in portable mode: `make portable` preloads it.
   Each function stands before that of the C library. Sources: XNU's uipc_socket.c, uipc_usrreq.c, uipc_syscalls.c. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define NEXT(name) \
    static __typeof__(name) *next; \
    if (!next) next = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

enum { DESCRIPTORS = 65536, UNIX_BUFFER = 8192, BACKLOG = 128 };

/* Descriptors whose reading was shut down. */
static volatile char deaf[DESCRIPTORS];

static int is_deaf(int fd) { return fd >= 0 && fd < DESCRIPTORS && deaf[fd]; }

static void set_deaf(int fd, char value) {
    if (fd >= 0 && fd < DESCRIPTORS) deaf[fd] = value;
}

static int option(int fd, int name) {
    int value = -1;
    socklen_t length = sizeof value;
    return getsockopt(fd, SOL_SOCKET, name, &value, &length) ? -1 : value;
}

static short events(int fd, short wanted) {
    static int (*wait_for)(struct pollfd *, nfds_t, int);
    if (!wait_for) wait_for = (int (*)(struct pollfd *, nfds_t, int))dlsym(RTLD_NEXT, "poll");
    struct pollfd one = {fd, wanted, 0};
    wait_for(&one, 1, 0);
    return one.revents;
}

/* A socket of this process: nothing is shut down yet, and a Unix socket takes little. */
static void begin(int fd) {
    set_deaf(fd, 0);
    int size = UNIX_BUFFER;
    if (fd >= 0 && option(fd, SO_DOMAIN) == AF_UNIX) setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

int socket(int domain, int type, int protocol) {
    NEXT(socket);
    int fd = next(domain, type, protocol);
    begin(fd);
    return fd;
}

int socketpair(int domain, int type, int protocol, int pair[2]) {
    NEXT(socketpair);
    int result = next(domain, type, protocol, pair);
    if (result == 0) begin(pair[0]), begin(pair[1]);
    return result;
}

int close(int fd) {
    NEXT(close);
    set_deaf(fd, 0);
    return next(fd);
}

/* The backlog is bounded by kern.ipc.somaxconn. */
int listen(int fd, int backlog) {
    NEXT(listen);
    return next(fd, backlog < 0 || backlog > BACKLOG ? BACKLOG : backlog);
}

/* A connection has the buffers of its listener, and its O_NONBLOCK. One that was reset has no address. */
int accept4(int listener, struct sockaddr *address, socklen_t *length, int flags) {
    NEXT(accept4);
    int fd = next(listener, address, length, flags);
    if (fd < 0) return fd;
    begin(fd);
    if (option(listener, SO_DOMAIN) == AF_UNIX) {
        int size = option(listener, SO_SNDBUF) / 2; /* Linux tells twice of what was set. */
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    } else if (address && events(fd, 0) & POLLERR) {
        memset(address, 0, *length);
        *length = 0;
    }
    if (fcntl(listener, F_GETFL) & O_NONBLOCK) fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return fd;
}

/* Connecting over a Unix socket never waits: a full backlog refuses. There are no abstract names. */
int connect(int fd, const struct sockaddr *address, socklen_t length) {
    NEXT(connect);
    if (address->sa_family != AF_UNIX) return next(fd, address, length);
    if (length > offsetof(struct sockaddr_un, sun_path) && !((const struct sockaddr_un *)address)->sun_path[0])
        return errno = ENOENT, -1;
    int flags = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    int result = next(fd, address, length), error = errno;
    fcntl(fd, F_SETFL, flags);
    errno = error == EAGAIN ? ECONNREFUSED : error;
    return result;
}

/* The flag is not looked at: only O_NONBLOCK keeps a send from waiting. */
ssize_t send(int fd, const void *bytes, size_t length, int flags) {
    NEXT(send);
    return next(fd, bytes, length, flags & ~MSG_DONTWAIT);
}

/* Once reading is shut down, there is nothing to read. */
ssize_t recv(int fd, void *buffer, size_t length, int flags) {
    NEXT(recv);
    return is_deaf(fd) ? 0 : next(fd, buffer, length, flags);
}

ssize_t read(int fd, void *buffer, size_t length) {
    NEXT(read);
    return is_deaf(fd) ? 0 : next(fd, buffer, length);
}

/* Shutting down reading throws away what has arrived, and works once. */
int shutdown(int fd, int how) {
    NEXT(shutdown);
    if (how != SHUT_WR) {
        char lost[4096];
        if (how == SHUT_RD && is_deaf(fd)) return errno = ENOTCONN, -1;
        while (recv(fd, lost, sizeof lost, MSG_DONTWAIT) > 0) continue;
    }
    int result = next(fd, how);
    if (result == 0 && how != SHUT_WR) set_deaf(fd, 1);
    return result;
}

/* Options cannot be set once both halves are closed. (SO_LINGER can, after SO_NP_EXTENSIONS, which Linux has not.) */
int setsockopt(int fd, int level, int name, const void *value, socklen_t length) {
    NEXT(setsockopt);
    struct sockaddr_storage peer;
    socklen_t peer_length = sizeof peer;
    int lingers = level == SOL_SOCKET && name == SO_LINGER;
    if (!lingers && option(fd, SO_TYPE) == SOCK_STREAM && option(fd, SO_ACCEPTCONN) == 0 &&
        getpeername(fd, (struct sockaddr *)&peer, &peer_length) == 0 && events(fd, 0) & POLLHUP)
        return errno = EINVAL, -1;
    return next(fd, level, name, value, length);
}

/* Without events: std looks so at its start whether the standard streams are open, on macOS by other means. */
static int is_device(const struct pollfd *wait) {
    struct stat found;
    return wait->events && !fstat(wait->fd, &found) && S_ISCHR(found.st_mode) && !isatty(wait->fd);
}

/* The end of the peer's input cannot be waited for, and some devices not at all. */
int poll(struct pollfd *waits, nfds_t count, int milliseconds) {
    NEXT(poll);
    int devices = 0;
    for (nfds_t i = 0; i < count; i++) {
        waits[i].events &= ~POLLRDHUP;
        devices += is_device(&waits[i]);
    }
    int ready = next(waits, count, devices ? 0 : milliseconds);
    for (nfds_t i = 0; ready >= 0 && devices && i < count; i++)
        if (is_device(&waits[i])) {
            ready += !waits[i].revents;
            waits[i].revents = POLLNVAL;
        }
    return ready;
}
