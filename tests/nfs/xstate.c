/*
 * Between User-Mode Linux 6.1 and a processor whose register state is larger than it knows.
 *
 * UML keeps a guest process's vector registers in a buffer of a fixed size, and reads and writes them with
 * ptrace(PTRACE_GETREGSET / PTRACE_SETREGSET, NT_X86_XSTATE). The host takes a SETREGSET only for the whole state. With AMX that
 * is about 11 KiB: every write is refused, and the guest's first process dies ("fatal_sigsegv"). Preloaded into UML, this
 * keeps the part that UML knows and leaves the rest in its initial state. Guest programs that use AMX are not served.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#define WHOLE_MAX (64 * 1024)
/* Intel SDM volume 1, 13.4.2: the XSAVE header follows the 512 bytes of the legacy region; its first word says which parts are in use. */
#define IN_USE_OFFSET 512
/* The parts that end within UML's buffer: x87, SSE, AVX, MPX, AVX-512, PKRU. */
#define KNOWN_PARTS 0x2ffULL

typedef long (*ptrace_function)(int, long, void *, void *);

long ptrace(enum __ptrace_request request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    long pid = va_arg(arguments, long);
    void *address = va_arg(arguments, void *);
    void *data = va_arg(arguments, void *);
    va_end(arguments);

    static ptrace_function real;
    if (!real)
        real = (ptrace_function)dlsym(RTLD_NEXT, "ptrace");
    if (request != PTRACE_SETREGSET || address != (void *)NT_X86_XSTATE)
        return real(request, pid, address, data);

    /* What the host says is the whole: its length, and the layout of what UML does not know. */
    static char whole[WHOLE_MAX] __attribute__((aligned(64)));
    struct iovec *part = data;
    struct iovec all = { whole, sizeof whole };
    long failed = real(PTRACE_GETREGSET, pid, address, &all);
    if (failed || all.iov_len <= part->iov_len)
        return real(request, pid, address, data);

    memset(whole + part->iov_len, 0, all.iov_len - part->iov_len);
    memcpy(whole, part->iov_base, part->iov_len);
    uint64_t in_use;
    memcpy(&in_use, whole + IN_USE_OFFSET, sizeof in_use);
    in_use &= KNOWN_PARTS;
    memcpy(whole + IN_USE_OFFSET, &in_use, sizeof in_use);
    return real(request, pid, address, &all);
}
