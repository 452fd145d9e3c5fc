/* Where posts end: answers each request over HTTP/1.1 with an empty 200, keeps connections, looks at no more than it must. One thread;
 * prints its port, and serves until it is ended.
 *   sink */
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	EVENTS_A_WAIT = 64,
	HEAD_BYTES = 8192,
	DESCRIPTORS = 4096,
};

struct conn {
	char head[HEAD_BYTES + 1];
	size_t have;      /* of the head */
	size_t body_left; /* while the body comes */
	bool in_body;
};

static struct conn *conns[DESCRIPTORS];

static void
finish(int fd)
{
	free(conns[fd]);
	conns[fd] = NULL;
	close(fd);
}

static bool
answer(int fd)
{
	static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
	return write(fd, text, sizeof(text) - 1) == (ssize_t)sizeof(text) - 1;
}

/* The value of Content-Length in a head; 0 without one. */
static size_t
length_of(const char *head)
{
	static const char name[] = "\r\nContent-Length:";
	const char *at = strcasestr(head, name);
	return at == NULL ? 0 : strtoul(at + sizeof(name) - 1, NULL, 10);
}

/* Takes what came; false when the connection is of no more use. No pipelining: a client waits for its answer. */
static bool
take(int fd, struct conn *conn, const char *bytes, size_t count)
{
	if (!conn->in_body) {
		size_t room = HEAD_BYTES - conn->have;
		size_t part = count < room ? count : room;
		memcpy(conn->head + conn->have, bytes, part);
		conn->have += part;
		conn->head[conn->have] = '\0';
		const char *blank = strstr(conn->head, "\r\n\r\n");
		if (blank == NULL) {
			return part == count;
		}
		size_t head_bytes = (size_t)(blank - conn->head) + 4;
		conn->body_left = length_of(conn->head);
		count = conn->have - head_bytes + (count - part);
		conn->in_body = true;
	}
	if (count > conn->body_left) {
		return false;
	}
	conn->body_left -= count;
	if (conn->body_left == 0) {
		conn->have = 0;
		conn->in_body = false;
		return answer(fd);
	}
	return true;
}

static void
serve(int fd)
{
	static char buffer[1 << 16];
	ssize_t got = read(fd, buffer, sizeof(buffer));
	if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
		return;
	}
	if (got <= 0 || !take(fd, conns[fd], buffer, (size_t)got)) {
		finish(fd);
	}
}

static void
welcome(int epoll, int listener)
{
	const int on = 1;
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0) {
		return;
	}
	struct epoll_event watch = { .events = EPOLLIN, .data.fd = fd };
	if (fd >= DESCRIPTORS || (conns[fd] = calloc(1, sizeof(*conns[fd]))) == NULL ||
	    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &watch) != 0) {
		errx(1, "no room for a connection");
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

int
main(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct epoll_event watch = { .events = EPOLLIN, .data.fd = listener };
	if (epoll < 0 || listener < 0 ||
	    bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
	    listen(listener, SOMAXCONN) != 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &size) != 0 ||
	    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &watch) != 0) {
		err(1, "no listener");
	}
	printf("%d\n", ntohs(address.sin_port));
	fflush(stdout);
	for (;;) {
		struct epoll_event events[EVENTS_A_WAIT];
		int count = epoll_wait(epoll, events, EVENTS_A_WAIT, -1);
		for (int i = 0; i < count; i++) {
			if (events[i].data.fd == listener) {
				welcome(epoll, listener);
			} else {
				serve(events[i].data.fd);
			}
		}
	}
}
