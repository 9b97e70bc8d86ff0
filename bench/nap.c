/* A handler that takes MS milliseconds and as little of the processor as a process can.
 *
 *     nap MS
 */
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv) {
    usleep(argc > 1 ? atol(argv[1]) * 1000 : 0);
    return 0;
}
