/* Loaded in front of the C library into a process under test: another clock, slow syncs, failing ones, none at all, and a crash at the
   sight of a certain message. What it does is in a file that the harness writes while the process runs. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct control {
  long clock; /* seconds that the wall clock is off */
  int delay;  /* milliseconds that each sync takes longer */
  int fail;   /* so many syncs fail */
};

static struct control *control;
static int off;      /* nothing is synced */
static int poisoned; /* a write of the poisoned message ends the process */

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("SLUICE_SHIM");
  off = getenv("SLUICE_SHIM_OFF") != NULL;
  poisoned = getenv("SLUICE_SHIM_POISON") != NULL;
  int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
  if (file < 0) return;
  void *map = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (map != MAP_FAILED) control = map;
  close(file);
}

static int synced(const char *name, int file) {
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
  if (off) return 0;
  if (!control) return real(file);
  if (control->fail > 0 && __sync_fetch_and_sub(&control->fail, 1) > 0) {
    errno = EIO;
    return -1;
  }
  if (control->delay > 0) usleep((useconds_t)control->delay * 1000);
  return real(file);
}

int fsync(int file) { return synced("fsync", file); }
int fdatasync(int file) { return synced("fdatasync", file); }

int clock_gettime(clockid_t clock, struct timespec *at) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  int result = real(clock, at);
  if (result == 0 && control && clock == CLOCK_REALTIME) at->tv_sec += control->clock;
  return result;
}

ssize_t pwrite64(int file, const void *octets, size_t count, off64_t offset) {
  static ssize_t (*real)(int, const void *, size_t, off64_t);
  if (!real) real = (ssize_t(*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
  if (poisoned && memmem(octets, count, "X-Poison: yes", 13)) abort();
  return real(file, octets, count, offset);
}
