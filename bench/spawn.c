/* The bare loop that `kq worker` is measured against: one process a record, and nothing else.
 *
 *     spawn JOBS COUNT PROGRAM [ARG...]
 *
 * The same shape as kq's: posix_spawn with three pipes, a process group and 16 variables of its own;
 * 100 bytes on stdin, then its end; both outputs read to their end; reaped. JOBS at the same time.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIZE = 100, VARIABLES = 16 };

struct job {
    pid_t pid;
    int out, err; /* -1 once at its end */
};

extern char **environ;
static char **variables;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void make_variables(void) {
    size_t count = 0;
    while (environ[count]) count++;
    variables = calloc(count + VARIABLES + 1, sizeof *variables);
    memcpy(variables, environ, count * sizeof *variables);
    for (int i = 0; i < VARIABLES; i++)
        if (asprintf(&variables[count + i], "BENCH_RECORD_%d=orders/0/123456", i) < 0) die("asprintf");
}

static void start(struct job *job, char **argv, const char *value) {
    int in[2], out[2], err[2];
    if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC)) die("pipe2");
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    posix_spawn_file_actions_adddup2(&actions, err[1], 2);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    posix_spawnattr_setpgroup(&attributes, 0);
    errno = posix_spawn(&job->pid, argv[0], &actions, &attributes, argv, variables);
    if (errno) die(argv[0]);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    close(in[0]), close(out[1]), close(err[1]);
    if (write(in[1], value, SIZE) < 0 && errno != EPIPE) die("write");
    close(in[1]);
    job->out = out[0], job->err = err[0];
}

/* Reads what is there; 1 at the end. */
static int drain(int *fd) {
    char buffer[4096];
    if (read(*fd, buffer, sizeof buffer) > 0) return 0;
    close(*fd);
    *fd = -1;
    return 1;
}

int main(int argc, char **argv) {
    if (argc < 4) return fprintf(stderr, "usage: spawn JOBS COUNT PROGRAM [ARG...]\n"), 2;
    long jobs = atol(argv[1]), left = atol(argv[2]), running = 0;
    struct job *all = calloc(jobs, sizeof *all);
    struct pollfd *fds = calloc(2 * jobs, sizeof *fds);
    char value[SIZE];
    memset(value, 'x', SIZE);
    signal(SIGPIPE, SIG_IGN);
    make_variables();
    while (left > 0 || running > 0) {
        for (long i = 0; i < jobs; i++) {
            if (all[i].pid || left == 0) continue;
            start(&all[i], argv + 3, value);
            left--, running++;
        }
        for (long i = 0; i < jobs; i++) {
            fds[2 * i] = (struct pollfd){.fd = all[i].pid ? all[i].out : -1, .events = POLLIN};
            fds[2 * i + 1] = (struct pollfd){.fd = all[i].pid ? all[i].err : -1, .events = POLLIN};
        }
        if (poll(fds, 2 * jobs, -1) < 0) die("poll");
        for (long i = 0; i < jobs; i++) {
            struct job *job = &all[i];
            if (fds[2 * i].revents) drain(&job->out);
            if (fds[2 * i + 1].revents) drain(&job->err);
            if (!job->pid || job->out >= 0 || job->err >= 0) continue;
            if (waitpid(job->pid, NULL, 0) < 0) die("waitpid");
            kill(-job->pid, SIGKILL);
            job->pid = 0;
            running--;
        }
    }
    return 0;
}
