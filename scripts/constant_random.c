/* Preloaded into the compilers and build scripts of an image's build, by scripts/image.sh: std seeds the order of its hash maps by
   getrandom, and the generator of the PromQL parser writes a table in such an order. The program that they build draws from its own
   system's getrandom. */
#include <string.h>

long getrandom(void *buffer, unsigned long length, unsigned flags) {
  (void)flags;
  memset(buffer, 42, length);
  return (long)length;
}
