// The floor: what the kernel does for a container, in the cheapest known order, and nothing of a runtime: no JSON, no
// checks, no answer to an error. No runtime can be faster; how near ours comes is a column of `make bench`.
//
//   floor run STATE ROOTFS NAME [FILTER]   runs /bin/true in a container NAME with the namespaces, mounts, devices, masks and
//                                          rights of `runc spec`; FILTER also brings the limits of the full bundle
//   floor filter PID                       writes the system call filter of a process, to be such a FILTER
//
// For the machine's cgroup v1 hierarchies; the child attaches itself, which spares a grace period (tasks, not cgroup.procs).
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define MUST(call) do { if ((call) < 0) err(1, "%s", #call); } while (0)
#define COUNT(array) (sizeof(array) / sizeof *(array))
#define GUARDED (MS_NOSUID | MS_NOEXEC | MS_NODEV)

static struct sock_filter instructions[BPF_MAXINSNS];
static struct sock_fprog filter = { .filter = instructions };

// This container's directory of each hierarchy, and where the hierarchy is inside.
static struct { char path[256], inside[128]; int tasks; } cgroups[32];
static int cgroup_count;

static void put(const char *directory, const char *file, const char *value)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", directory, file);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, value, strlen(value)) < 0)
        err(1, "%s", path);
    close(fd);
}

static void limit(const char *name, const char *path)
{
    if (!strcmp(name, "memory"))
        put(path, "memory.limit_in_bytes", "67108864");
    if (!strcmp(name, "cpu")) {
        put(path, "cpu.shares", "512");
        put(path, "cpu.cfs_period_us", "100000");
        put(path, "cpu.cfs_quota_us", "50000");
    }
    if (!strcmp(name, "pids"))
        put(path, "pids.max", "40");
}

static void allow_devices(const char *path)
{
    static const char *allowed[] = { "b *:* m", "c *:* m", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm",
                                     "c 1:9 rwm", "c 5:0 rwm", "c 5:2 rwm", "c 10:200 rwm", "c 136:* rwm" };
    put(path, "devices.deny", "a");
    for (size_t i = 0; i < COUNT(allowed); i++)
        put(path, "devices.allow", allowed[i]);
}

static void make_cgroups(const char *container)
{
    char line[512], *names;
    FILE *hierarchies = fopen("/proc/self/cgroup", "re");
    if (!hierarchies)
        err(1, "/proc/self/cgroup");
    while (fgets(line, sizeof line, hierarchies)) {
        names = strchr(line, ':') + 1;
        *strchr(names, ':') = 0;
        if (!strncmp(names, "name=", 5))
            names += 5;
        if (!*names)
            continue;
        int i = cgroup_count;
        snprintf(cgroups[i].inside, sizeof cgroups[i].inside, "sys/fs/cgroup/%s", names);
        snprintf(cgroups[i].path, sizeof cgroups[i].path, "/sys/fs/cgroup/%s/%s", names, container);
        // A hierarchy that is not in sight is none of ours, as to the runtimes.
        if (mkdir(cgroups[i].path, 0755) < 0 && errno == ENOENT)
            continue;
        if (!strcmp(names, "cpuset")) {
            put(cgroups[i].path, "cpuset.cpus", "0");
            put(cgroups[i].path, "cpuset.mems", "0");
        }
        if (!strcmp(names, "devices"))
            allow_devices(cgroups[i].path);
        if (filter.len)
            limit(names, cgroups[i].path);
        char tasks[sizeof cgroups[i].path + sizeof "/tasks"];
        snprintf(tasks, sizeof tasks, "%s/tasks", cgroups[i].path);
        MUST(cgroups[i].tasks = open(tasks, O_WRONLY | O_CLOEXEC));
        cgroup_count++;
    }
    fclose(hierarchies);
}

static void mount_all(const char *rootfs)
{
    MUST(mount(0, "/", 0, MS_REC | MS_SLAVE, 0));
    MUST(mount(rootfs, rootfs, 0, MS_BIND | MS_REC, 0));
    MUST(chdir(rootfs));
    MUST(mount("proc", "proc", "proc", 0, 0));
    MUST(mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k"));
    mkdir("dev/pts", 0755);
    mkdir("dev/shm", 0755);
    mkdir("dev/mqueue", 0755);
    MUST(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"));
    MUST(mount("shm", "dev/shm", "tmpfs", GUARDED, "mode=1777,size=65536k"));
    MUST(mount("mqueue", "dev/mqueue", "mqueue", GUARDED, 0));
    MUST(mount("sysfs", "sys", "sysfs", GUARDED | MS_RDONLY, 0));
    MUST(mount("tmpfs", "sys/fs/cgroup", "tmpfs", GUARDED, "mode=755"));
    for (int i = 0; i < cgroup_count; i++) {
        const char *target = cgroups[i].inside;
        mkdir(target, 0755);
        MUST(mount(cgroups[i].path, target, 0, MS_BIND, 0));
        MUST(mount(0, target, 0, MS_BIND | MS_REMOUNT | MS_RDONLY | GUARDED, 0));
    }
    MUST(mount(0, "sys/fs/cgroup", 0, MS_BIND | MS_REMOUNT | MS_RDONLY | GUARDED, 0));
}

static void make_devices(void)
{
    static const struct { const char *path; int major, minor; } devices[] = {
        { "dev/null", 1, 3 }, { "dev/zero", 1, 5 }, { "dev/full", 1, 7 },
        { "dev/random", 1, 8 }, { "dev/urandom", 1, 9 }, { "dev/tty", 5, 0 },
    };
    umask(0);
    for (size_t i = 0; i < COUNT(devices); i++)
        MUST(mknod(devices[i].path, S_IFCHR | 0666, makedev(devices[i].major, devices[i].minor)));
    umask(022);
    MUST(symlink("/proc/self/fd", "dev/fd"));
    MUST(symlink("/proc/self/fd/0", "dev/stdin"));
    MUST(symlink("/proc/self/fd/1", "dev/stdout"));
    MUST(symlink("/proc/self/fd/2", "dev/stderr"));
    MUST(symlink("pts/ptmx", "dev/ptmx"));
}

static void mask_paths(void)
{
    static const char *masked[] = { "proc/acpi", "proc/asound", "proc/kcore", "proc/keys", "proc/latency_stats",
                                    "proc/timer_list", "proc/timer_stats", "proc/sched_debug", "sys/firmware", "proc/scsi" };
    static const char *readonly[] = { "proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger" };
    for (size_t i = 0; i < COUNT(masked); i++)
        if (mount("/dev/null", masked[i], 0, MS_BIND, 0) < 0 && errno == ENOTDIR)
            MUST(mount("tmpfs", masked[i], "tmpfs", MS_RDONLY, "size=0k"));
    for (size_t i = 0; i < COUNT(readonly); i++)
        if (mount(readonly[i], readonly[i], 0, MS_BIND | MS_REC, 0) == 0)
            MUST(mount(0, readonly[i], 0, MS_BIND | MS_REMOUNT | MS_RDONLY | GUARDED, 0));
}

static void give_up_rights(void)
{
    const unsigned kept = 1u << CAP_AUDIT_WRITE | 1u << CAP_KILL | 1u << CAP_NET_BIND_SERVICE;
    struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[2] = { { kept, kept, 0 } };
    for (int i = 0; i <= CAP_LAST_CAP; i++)
        if (i >= 32 || !(kept & 1u << i))
            prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
    MUST(setgroups(0, 0));
    MUST(syscall(SYS_capset, &header, data));
    MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

static void contain(const char *rootfs)
{
    char *arguments[] = { "true", 0 }, *environment[] = { "PATH=/bin", "TERM=xterm", 0 };
    for (int i = 0; i < cgroup_count; i++)
        MUST(write(cgroups[i].tasks, "0", 1));
    setsid();
    mount_all(rootfs);
    make_devices();
    MUST(syscall(SYS_pivot_root, ".", "."));
    MUST(umount2(".", MNT_DETACH));
    MUST(chdir("/"));
    mask_paths();
    MUST(mount(0, "/", 0, MS_BIND | MS_REMOUNT | MS_RDONLY, 0));
    MUST(sethostname("floor", 5));
    struct ifreq loopback = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
    int network = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    MUST(ioctl(network, SIOCSIFFLAGS, &loopback));
    struct rlimit files = { 1024, 1024 };
    MUST(setrlimit(RLIMIT_NOFILE, &files));
    give_up_rights();
    if (filter.len)
        MUST(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter));
    MUST(execve("/bin/true", arguments, environment));
}

static void run(const char *state, const char *rootfs, const char *container)
{
    char path[256], record[1200] = { 0 };
    int status;
    snprintf(path, sizeof path, "%s/%s", state, container);
    int record_fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    MUST(write(record_fd, record, sizeof record));
    close(record_fd);
    make_cgroups(container);
    struct clone_args clone = { .exit_signal = SIGCHLD,
                                .flags = CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS };
    pid_t child = syscall(SYS_clone3, &clone, sizeof clone);
    MUST(child);
    if (child == 0)
        contain(rootfs);
    MUST(waitpid(child, &status, 0));
    for (int i = 0; i < cgroup_count; i++)
        MUST(rmdir(cgroups[i].path));
    MUST(unlink(path));
    if (status)
        errx(1, "the container ended with status %#x", status);
}

static void write_filter(pid_t pid)
{
    MUST(ptrace(PTRACE_SEIZE, pid, 0, 0));
    MUST(ptrace(PTRACE_INTERRUPT, pid, 0, 0));
    MUST(waitpid(pid, 0, __WALL));
    long count = ptrace(PTRACE_SECCOMP_GET_FILTER, pid, 0, instructions);
    MUST(count);
    MUST(write(1, instructions, count * sizeof *instructions));
}

int main(int count, char **arguments)
{
    if (count == 3 && !strcmp(arguments[1], "filter")) {
        pid_t pid;
        if (sscanf(arguments[2], "%d", &pid) != 1)
            errx(2, "%s is no pid", arguments[2]);
        write_filter(pid);
    } else if ((count == 5 || count == 6) && !strcmp(arguments[1], "run")) {
        if (count == 6) {
            int fd = open(arguments[5], O_RDONLY | O_CLOEXEC);
            ssize_t length = read(fd, instructions, sizeof instructions);
            MUST(length);
            close(fd);
            filter.len = length / sizeof *instructions;
        }
        run(arguments[2], arguments[3], arguments[4]);
    } else {
        errx(2, "usage: floor run STATE ROOTFS NAME [FILTER] | floor filter PID");
    }
    return 0;
}
