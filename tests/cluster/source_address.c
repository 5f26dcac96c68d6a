/* Preloaded into each gateway: its connections on loopback come from the address in CLUSTER_SOURCE_ADDRESS.
 *
 * All gateways have the same configuration of rooms, so they ask for the same addresses. The proxies and the
 * simulated devices tell them apart by where a connection comes from. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

typedef int (*connect_function)(int, const struct sockaddr *, socklen_t);

int connect(int socket, const struct sockaddr *to, socklen_t length) {
    connect_function next = (connect_function)dlsym(RTLD_NEXT, "connect");
    const char *source = getenv("CLUSTER_SOURCE_ADDRESS");
    if (source && to && length >= sizeof(struct sockaddr_in) && to->sa_family == AF_INET) {
        const struct sockaddr_in *target = (const struct sockaddr_in *)to;
        struct sockaddr_in from = {.sin_family = AF_INET};
        struct sockaddr_in bound;
        socklen_t size = sizeof bound;
        int yes = 1;
        if ((ntohl(target->sin_addr.s_addr) >> 24) == 127
            && getsockname(socket, (struct sockaddr *)&bound, &size) == 0
            && bound.sin_family == AF_INET && bound.sin_port == 0
            && bound.sin_addr.s_addr == 0
            && inet_pton(AF_INET, source, &from.sin_addr) == 1) {
            /* The port is chosen by connect, so that many targets can share one. */
            setsockopt(socket, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
            bind(socket, (struct sockaddr *)&from, sizeof from);
        }
    }
    return next(socket, to, length);
}
