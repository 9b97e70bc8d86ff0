/* The smallest persistent handler: answers each record, at once or after MS milliseconds.
 *
 *     answer [MS]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
    static char in[1 << 16], out[1 << 16];
    long ms = argc > 1 ? atol(argv[1]) : 0;
    size_t held = 0;
    ssize_t got;
    while ((got = read(0, in + held, sizeof in - held)) > 0) {
        size_t answered = 0;
        char *line = in, *end;
        held += got;
        while ((end = memchr(line, '\n', in + held - line))) {
            /* kq writes the id first: {"id":N, */
            unsigned long id = strtoul(line + 6, NULL, 10);
            if (ms) usleep(ms * 1000);
            answered += snprintf(out + answered, sizeof out - answered, "{\"id\":%lu,\"ok\":true}\n", id);
            if (answered > sizeof out - 64) {
                if (write(1, out, answered) < 0) return 1;
                answered = 0;
            }
            line = end + 1;
        }
        if (answered && write(1, out, answered) < 0) return 1;
        held -= line - in;
        memmove(in, line, held);
    }
    return 0;
}
