/* What a shell cannot do: races and raw system calls of an attacker inside a container. Built by attacker.rs.
 *
 * flip A B            exchanges two names for ever, as fast as it can
 * hunt PREFIX         looks at every other process for what belongs to the host (paths that begin with PREFIX), for ever
 * calls               tries system calls that a filter has to refuse, and prints what came of each; their arguments are
 *                     such that a kernel without a filter does no harm either
 * sweep LAST          makes every system call up to LAST by three ways into the kernel, and prints which a filter refused (with
 *                     errno 999), what ended as unknown, killed, or was let through; all arguments are wrong
 * bomb                forks for ever, whatever ends or fails
 * inject TTY          pushes a key into a terminal's input (TIOCSTI)
 * mounts PATH...      from a mount namespace of its own tries to unmount each, to make it writable, and to clear its flags
 * climb PATH          leaves a chroot by the way that is open to CAP_SYS_CHROOT, and looks for PATH
 * leave               leaves a key in its session keyring and a System V memory segment; "look" looks for both
 * ids                 prints real, effective and saved user and group ids
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static int flip(const char *a, const char *b)
{
    for (;;)
        syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, 2 /* RENAME_EXCHANGE */);
}

static void hit(const char *what, int pid, const char *detail)
{
    char line[512];
    int length = snprintf(line, sizeof line, "%s %d %s\n", what, pid, detail);
    if (write(1, line, length) != length)
        _exit(1);
}

static int link_of(const char *path, char *target, size_t size)
{
    ssize_t length = readlink(path, target, size - 1);
    target[length < 0 ? 0 : length] = 0;
    return length > 0;
}

/* "seen": the runtime was there to be looked at.  "exe", "fd", "root", "trace": it could be. */
static void look(int pid, const char *prefix)
{
    char path[600], target[512], comm[32] = "";
    snprintf(path, sizeof path, "/proc/%d/comm", pid);
    int file = open(path, O_RDONLY);
    if (file < 0)
        return;
    ssize_t length = read(file, comm, sizeof comm - 1);
    close(file);
    comm[length > 0 ? length - 1 : 0] = 0;
    int is_runtime = strncmp(comm, "knarr-runtime", 13) == 0;
    if (is_runtime)
        hit("seen", pid, comm);
    snprintf(path, sizeof path, "/proc/%d/exe", pid);
    if (link_of(path, target, sizeof target))
        hit(is_runtime && strncmp(target, "/bin/", 5) ? "exe" : "ordinary", pid, target);
    for (int number = 0; number < 48; number++) {
        snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, number);
        if (link_of(path, target, sizeof target) && strncmp(target, prefix, strlen(prefix)) == 0)
            hit("fd", pid, target);
    }
    snprintf(path, sizeof path, "/proc/%d/root%s", pid, prefix);
    if (access(path, F_OK) == 0)
        hit("root", pid, path);
    if (is_runtime && ptrace(PTRACE_SEIZE, pid, 0, 0) == 0) {
        /* It may have become the user's program in between, which anybody may trace. */
        snprintf(path, sizeof path, "/proc/%d/comm", pid);
        file = open(path, O_RDONLY);
        if (file >= 0 && read(file, comm, 13) == 13 && strncmp(comm, "knarr-runtime", 13) == 0)
            hit("trace", pid, comm);
        close(file);
        if (ptrace(PTRACE_INTERRUPT, pid, 0, 0) == 0 && waitpid(pid, NULL, __WALL) == pid)
            ptrace(PTRACE_DETACH, pid, 0, 0);
    }
}

static int hunt(const char *prefix)
{
    for (;;) {
        DIR *proc = opendir("/proc");
        for (struct dirent *entry; (entry = readdir(proc));) {
            int pid = atoi(entry->d_name);
            if (pid > 1 && pid != getpid())
                look(pid, prefix);
        }
        closedir(proc);
    }
}

static long by_interrupt(long number, long first)
{
    long result = -ENOSYS;
#ifdef __x86_64__
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(first), "c"(0), "d"(0) : "memory", "r8", "r9", "r10", "r11");
#endif
    return result;
}

static long try(int which)
{
    const long x32 = 0x40000000;
    switch (which) {
    case 0: return syscall(SYS_getpid) > 0 ? 0 : -1;
    case 1: return socket(38 /* AF_ALG */, SOCK_SEQPACKET, 0);
    case 2: return socket(40 /* AF_VSOCK */, SOCK_STREAM, 0);
    case 3: return syscall(SYS_keyctl, 0 /* KEYCTL_GET_KEYRING_ID */, -3, 0);
    case 4: return syscall(SYS_unshare, CLONE_NEWUSER);
    case 5: return syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    case 6: return syscall(435 /* clone3 */, 0, 0);
    case 7: return syscall(425 /* io_uring_setup */, 1, 0);
    case 8: return syscall(SYS_personality, 0x0040000 /* ADDR_NO_RANDOMIZE */);
    case 9: return syscall(x32 | SYS_keyctl, 0, -3, 0);
    case 10: return syscall(x32 | 512 + 0x1f, 0);
    case 11: return syscall(998, 0);
    case 12: return syscall(0x7fffffff, 0);
    case 13: errno = 0; { long r = by_interrupt(288 /* keyctl */, 0); if (r < 0) { errno = -r; return -1; } return r; }
    case 14: errno = 0; { long r = by_interrupt(310 /* unshare */, CLONE_NEWUSER); if (r < 0) { errno = -r; return -1; } return r; }
    case 15: return syscall(SYS_open_by_handle_at, -1, 0, 0);
    case 16: return syscall(SYS_bpf, 0, 0, 0);
    case 17: return syscall(SYS_userfaultfd, 0);
    case 18: return syscall(SYS_mount, 0, 0, 0, 0, 0);
    case 19: return syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0);
    default: _exit(77);
    }
}

static const char *names[] = { "getpid", "af_alg", "af_vsock", "keyctl", "unshare_user", "clone_user", "clone3", "io_uring",
    "personality", "x32_keyctl", "x32_own", "unknown", "huge", "i386_keyctl", "i386_unshare", "handle", "bpf", "userfaultfd",
    "mount", "ptrace_self" };

static int calls(void)
{
    for (int which = 0; which < (int)(sizeof names / sizeof *names); which++) {
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            long result = try(which);
            printf("%s %s\n", names[which], result >= 0 ? "worked" : strerrorname_np(errno) ? strerrorname_np(errno) : "error");
            fflush(stdout);
            _exit(0);
        }
        int status = 0;
        waitpid(child, &status, 0);
        if (WIFSIGNALED(status))
            printf("%s killed\n", names[which]);
    }
    return 0;
}

enum { REFUSED_ERRNO = 999 };

static long by_number(int way, long number)
{
    long result = -ENOSYS;
#ifdef __x86_64__
    if (way == 2) {
        __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(-1), "c"(-1), "d"(-1), "S"(-1), "D"(-1)
                         : "memory", "r8", "r9", "r10", "r11");
        return result;
    }
    if (way == 1)
        number |= 0x40000000;
    register long fourth __asm__("r10") = -1, fifth __asm__("r8") = -1, sixth __asm__("r9") = -1;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(-1), "S"(-1), "d"(-1), "r"(fourth), "r"(fifth), "r"(sixth)
                     : "rcx", "r11", "memory");
#endif
    return result;
}

static void wake(int signal)
{
    (void)signal;
}

/* What became of one call: each in a process of its own, which it may end, put to sleep or double. */
static const char *outcome(int way, long number)
{
    pid_t child = fork();
    if (child == 0) {
        long result = by_number(way, number);
        _exit(result == -REFUSED_ERRNO ? 1 : result == -ENOSYS ? 2 : 0);
    }
    int status = 0;
    struct itimerval limit = { .it_value = { .tv_usec = 200000 }, .it_interval = { .tv_usec = 200000 } }, none = { 0 };
    setitimer(ITIMER_REAL, &limit, NULL);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        kill(child, SIGKILL);
    setitimer(ITIMER_REAL, &none, NULL);
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == SIGSYS ? "killed" : "through";
    return WEXITSTATUS(status) == 1 ? "refused" : WEXITSTATUS(status) == 2 ? "unknown" : "through";
}

static int sweep(long last)
{
    static const char *ways[] = { "x86_64", "x32", "i386" };
    struct sigaction action = { .sa_handler = wake };
    sigaction(SIGALRM, &action, NULL);
    for (int way = 0; way < 3; way++)
        for (long number = 0; number <= last; number++) {
            printf("%s:%ld %s\n", ways[way], number, outcome(way, number));
            fflush(stdout);
        }
    return 0;
}

static void report(const char *attempt, const char *path, long result)
{
    printf("%s %s %s\n", attempt, path, result == 0 ? "worked" : strerrorname_np(errno));
}

static void report_one(const char *attempt, long result)
{
    printf("%s %s\n", attempt, result >= 0 ? "worked" : strerrorname_np(errno));
}

/* Flags first: what is unmounted has none left to change. */
static int mounts(char **paths)
{
    struct { unsigned long long set, clear, propagation, namespace; } change = { 0, 0xf, 0, 0 };
    /* Without CAP_SYS_ADMIN, as root of a user namespace that it makes. */
    if (unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
        return 1;
    for (; *paths; paths++) {
        report("setattr", *paths, syscall(442 /* mount_setattr */, AT_FDCWD, *paths, 0, &change, sizeof change));
        report("remount", *paths, mount("none", *paths, NULL, MS_REMOUNT | MS_BIND, NULL));
        report("umount", *paths, umount2(*paths, MNT_DETACH));
    }
    return 0;
}

#define SHARED_NAME 0x6b6e6172

static int leave(void)
{
    report_one("key", syscall(SYS_add_key, "user", "knarr-secret", "x", 1, -3 /* the session's keyring */));
    report_one("memory", shmget(SHARED_NAME, 4096, IPC_CREAT | 0666));
    puts("end");
    return 0;
}

static int look_for(void)
{
    report_one("key", syscall(SYS_request_key, "user", "knarr-secret", 0, 0));
    report_one("memory", shmget(SHARED_NAME, 0, 0));
    puts("end");
    return 0;
}

/* A root below the directory that one is in is no border for "..". */
static int climb(const char *path)
{
    int above = open("/", O_RDONLY | O_DIRECTORY);
    mkdir("/tmp/below", 0755);
    if (above < 0 || chroot("/tmp/below") || fchdir(above))
        return 2;
    for (int step = 0; step < 64; step++)
        if (chdir(".."))
            return 2;
    puts(chroot(".") == 0 && access(path, F_OK) == 0 ? "outside" : "inside");
    return 0;
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";
    if (!strcmp(verb, "flip") && argc == 4)
        return flip(argv[2], argv[3]);
    if (!strcmp(verb, "hunt") && argc == 3)
        return hunt(argv[2]);
    if (!strcmp(verb, "mounts"))
        return mounts(argv + 2);
    if (!strcmp(verb, "climb") && argc == 3)
        return climb(argv[2]);
    if (!strcmp(verb, "leave"))
        return leave();
    if (!strcmp(verb, "look"))
        return look_for();
    if (!strcmp(verb, "calls"))
        return calls();
    if (!strcmp(verb, "sweep") && argc == 3)
        return sweep(atol(argv[2]));
    if (!strcmp(verb, "bomb")) {
        for (int number = 1; number < 32; number++)
            signal(number, SIG_IGN);
        for (;;)
            if (fork() < 0)
                usleep(1000);
    }
    if (!strcmp(verb, "inject") && argc == 3) {
        int tty = open(argv[2], O_RDWR);
        int failed = tty < 0 || ioctl(tty, TIOCSTI, "k") != 0;
        printf("inject %s\n", failed ? strerrorname_np(errno) : "worked");
        return 0;
    }
    if (!strcmp(verb, "ids")) {
        unsigned r, e, s, g, h, t;
        getresuid(&r, &e, &s);
        getresgid(&g, &h, &t);
        printf("%u %u %u %u %u %u\n", r, e, s, g, h, t);
        return 0;
    }
    return 64;
}
