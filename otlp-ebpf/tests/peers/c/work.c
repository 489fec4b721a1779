// Threads that do what they say.
//
// work spin          runs in hot_spin until its input ends
// work rest          sleeps 20 times for 10 ms in rests, and 20 times for 1 ms; prints the nanoseconds that the first took
// work serve         prints its port; serves HTTP/1.1, a thread for each connection: GET /busy runs 30 ms in
//                    works_on_request, GET /rest sleeps 30 ms in rests; another thread runs in background_spin
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ALONE __attribute__((noinline, noclone))

static volatile unsigned long sink;

static long long now(clockid_t clock)
{
    struct timespec time;

    clock_gettime(clock, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

ALONE void hot_spin(unsigned long turns)
{
    while (turns--)
        sink += turns;
}

/* A leaf has no frame of its own: the stack goes on with who called this. */
ALONE void runs_hot(void)
{
    for (;;)
        hot_spin(1000000);
}

ALONE void background_spin(unsigned long turns)
{
    while (turns--)
        sink += turns;
}

ALONE void works_on_request(long long until)
{
    while (now(CLOCK_THREAD_CPUTIME_ID) < until)
        for (int turn = 0; turn < 100000; turn++)
            sink += turn;
}

ALONE void nap(long nanoseconds)
{
    struct timespec time = { .tv_nsec = nanoseconds };

    nanosleep(&time, 0);
    sink++;
}

ALONE void rests(long nanoseconds)
{
    nap(nanoseconds);
    sink++;
}

static void *ends_with_input(void *unused)
{
    char byte;

    while (read(0, &byte, 1) > 0)
        ;
    exit(0);
    return unused;
}

static void *runs_aside(void *unused)
{
    for (;;)
        background_spin(1000000);
    return unused;
}

static void *serves(void *with)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone";
    int socket = (int)(long)with;
    char request[4096];

    while (read(socket, request, sizeof(request)) > 0) {
        if (!strncmp(request, "GET /busy", 9))
            works_on_request(now(CLOCK_THREAD_CPUTIME_ID) + 30000000);
        else
            rests(30000000);
        if (write(socket, answer, sizeof(answer) - 1) < 0)
            break;
    }
    close(socket);
    return 0;
}

static int serve(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    pthread_t thread;

    if (bind(listener, (void *)&address, length) || listen(listener, 16) || getsockname(listener, (void *)&address, &length))
        return 1;
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    pthread_create(&thread, 0, runs_aside, 0);
    for (;;) {
        long socket = accept(listener, 0, 0);

        pthread_create(&thread, 0, serves, (void *)socket);
        pthread_detach(thread);
    }
}

int main(int count, char **words)
{
    const char *what = count > 1 ? words[1] : "";
    long long begin;
    pthread_t thread;

    if (!strcmp(what, "rest")) {
        // Not before it is looked at.
        getchar();
        begin = now(CLOCK_MONOTONIC);
        for (int turn = 0; turn < 20; turn++)
            rests(10000000);
        printf("%lld\n", now(CLOCK_MONOTONIC) - begin);
        fflush(stdout);
        for (int turn = 0; turn < 20; turn++)
            rests(1000000);
        return 0;
    }
    pthread_create(&thread, 0, ends_with_input, 0);
    if (!strcmp(what, "serve"))
        return serve();
    if (strcmp(what, "spin"))
        return 2;
    printf("runs\n");
    fflush(stdout);
    runs_hot();
    return 0;
}
