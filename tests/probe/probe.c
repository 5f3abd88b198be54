/* Prints what a process can see and do: run inside a container by tests/probe.rs, whose
 * golden file says what it should be. C, statically linked, because it makes system calls
 * that no library offers, with arguments that no library would pass.
 *
 *   probe reference       what the host has, one word a line, for the second form
 *   probe REFERENCE...    everything, "key: value" a line
 *   probe wait            sleeps until a signal ends it
 *
 * Every call is made with arguments that a kernel which permits it refuses for another
 * reason, so that nothing happens where the filter has a hole. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/types.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const NAMESPACES[] = {"cgroup", "ipc", "mnt", "net", "pid", "user", "uts"};
#ifndef SYS_set_mempolicy_home_node
#define SYS_set_mempolicy_home_node 450
#endif
#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static char **reference;

static const char *name_of(int error) {
    return error == 0 ? "ok" : strerrorname_np(error) ? strerrorname_np(error) : "?";
}

static char *slurp(const char *path) {
    static char text[1 << 16];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t length = 0;
    if (fd < 0) return NULL;
    for (;;) {
        ssize_t got = read(fd, text + length, sizeof text - 1 - length);
        if (got <= 0) break;
        length += (size_t)got;
    }
    close(fd);
    text[length] = 0;
    return text;
}

/* The word "KEY=..." among those of the host, without its key. */
static const char *of_host(const char *key) {
    size_t length = strlen(key);
    for (char **word = reference; *word; word++)
        if (!strncmp(*word, key, length) && (*word)[length] == '=') return *word + length + 1;
    return "";
}

static void namespace_of(const char *process, const char *name, char *text, size_t size) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%s/ns/%s", process, name);
    ssize_t length = readlink(path, text, size - 1);
    text[length < 0 ? 0 : length] = 0;
}

/* Those that are worth a line; the others are the host's affair. */
static const struct { const char *name; int number; } LIMITS[] = {
    {"as", RLIMIT_AS}, {"core", RLIMIT_CORE}, {"cpu", RLIMIT_CPU}, {"data", RLIMIT_DATA},
    {"fsize", RLIMIT_FSIZE}, {"memlock", RLIMIT_MEMLOCK}, {"nofile", RLIMIT_NOFILE},
    {"nproc", RLIMIT_NPROC}, {"stack", RLIMIT_STACK},
};

static void limit_text(int number, char *text, size_t size) {
    struct rlimit limit;
    getrlimit((__rlimit_resource_t)number, &limit);
    snprintf(text, size, "%llu:%llu", (unsigned long long)limit.rlim_cur,
             (unsigned long long)limit.rlim_max);
}

static long session_keyring(void) { return syscall(SYS_keyctl, 0, -3, 0); }

static int print_reference(void) {
    char text[128];
    struct utsname names;
    for (size_t i = 0; i < COUNT(NAMESPACES); i++) {
        namespace_of("self", NAMESPACES[i], text, sizeof text);
        printf("%s=%s\n", NAMESPACES[i], text);
    }
    for (size_t i = 0; i < COUNT(LIMITS); i++) {
        limit_text(LIMITS[i].number, text, sizeof text);
        printf("limit-%s=%s\n", LIMITS[i].name, text);
    }
    uname(&names);
    printf("hostname=%s\nkeyring=%ld\n", names.nodename, session_keyring());
    char *score = slurp("/proc/self/oom_score_adj");
    printf("oom=%s", score ? score : "\n");
    return 0;
}

static void identity(void) {
    gid_t groups[64];
    int count = getgroups(64, groups);
    printf("user: %d:%d groups", getuid(), getgid());
    for (int i = 0; i < count; i++) printf(" %d", groups[i]);
    mode_t mask = umask(022);
    printf("\numask: %03o\n", mask);
    printf("first process: %s\n", getpid() == 1 ? "yes" : "no");
    printf("parent visible: %s\n", getppid() ? "yes" : "no");
    printf("session leader: %s\n", getsid(0) == getpid() ? "yes" : "no");
    printf("dumpable: %d\n", prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
    printf("securebits: %d\n", prctl(PR_GET_SECUREBITS, 0, 0, 0, 0));
    char directory[256];
    printf("working directory: %s\n", getcwd(directory, sizeof directory));
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void environment(void) {
    char *names[128];
    size_t count = 0;
    for (char **line = environ; *line && count < COUNT(names); line++)
        names[count++] = strndup(*line, strcspn(*line, "="));
    qsort(names, count, sizeof *names, by_text);
    printf("environment:");
    for (size_t i = 0; i < count; i++) printf(" %s", names[i]);
    printf("\n");
}

static void namespaces(void) {
    for (size_t i = 0; i < COUNT(NAMESPACES); i++) {
        char own[128], first[128];
        namespace_of("self", NAMESPACES[i], own, sizeof own);
        namespace_of("1", NAMESPACES[i], first, sizeof first);
        const char *host = strcmp(own, of_host(NAMESPACES[i])) ? "own" : "the host's";
        /* A non-dumpable first process hides its own. */
        const char *shared = !*first || !strcmp(own, first) ? "" : ", not the first process's";
        printf("namespace %s: %s%s\n", NAMESPACES[i], host, shared);
    }
}

static void status(void) {
    static const char *const KEYS[] = {"CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:",
                                       "NoNewPrivs:", "Seccomp:", "SigBlk:", "SigIgn:"};
    char *text = slurp("/proc/self/status");
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        for (size_t i = 0; i < COUNT(KEYS); i++)
            if (!strncmp(line, KEYS[i], strlen(KEYS[i])))
                printf("status %s %s\n", KEYS[i], line + strlen(KEYS[i]) + 1);
}

static void descriptors(void) {
    for (int fd = 0; fd < 4096; fd++) {
        char path[64], target[256];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(path, target, sizeof target - 1);
        if (length < 0) continue;
        target[length] = 0;
        target[strcspn(target, ":")] = 0;
        printf("descriptor %d: %s\n", fd, target);
    }
}

static void inherited(void) {
    char text[128];
    printf("limits unlike the caller's:");
    for (size_t i = 0; i < COUNT(LIMITS); i++) {
        char key[64];
        limit_text(LIMITS[i].number, text, sizeof text);
        snprintf(key, sizeof key, "limit-%s", LIMITS[i].name);
        if (strcmp(text, of_host(key))) printf(" %s=%s", LIMITS[i].name, text);
    }
    char *score = slurp("/proc/self/oom_score_adj");
    if (score) score[strcspn(score, "\n")] = 0;
    printf("\noom_score_adj: %s\n", score && !strcmp(score, of_host("oom")) ? "the caller's" : score);
    struct utsname names;
    uname(&names);
    size_t hex = strspn(names.nodename, "0123456789abcdef");
    int usual = hex == 12 && !names.nodename[12] && strcmp(names.nodename, of_host("hostname"));
    printf("host name: %s\n", usual ? "twelve digits of an id" : names.nodename);
    printf("domain name: %s\n", names.domainname);
    long ring = session_keyring();
    if (ring < 0) printf("session keyring: %s\n", name_of(errno));
    else printf("session keyring: %s\n", ring == atol(of_host("keyring")) ? "the host's" : "own");
}

static int one_of(const char *word, const char *const *list) {
    for (; *list; list++)
        if (!strcmp(word, *list)) return 1;
    return 0;
}

/* "ro,nosuid,relatime" without what the host's own mounts decide. */
static void print_options(char *options, const char *const *kept) {
    const char *comma = "";
    char *rest = NULL;
    for (char *word = strtok_r(options, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
        char bare[64];
        snprintf(bare, sizeof bare, "%.*s", (int)strcspn(word, "="), word);
        if (!one_of(bare, kept)) continue;
        printf("%s%s", comma, word);
        comma = ",";
    }
}

static void mounts(void) {
    static const char *const OF_MOUNT[] = {"ro", "rw", "nosuid", "nodev", "noexec", NULL};
    static const char *const WRITE[] = {"ro", "rw", NULL};
    static const char *const OF_SYSTEM[] = {"size", "mode", "ptmxmode", "hidepid", "ro", NULL};
    static const char *const ALONE[] = {NULL};
    char *text = slurp("/proc/self/mountinfo"), *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char root[4096], point[4096], options[4096], tags[256] = "", kind[64], super[4096];
        if (sscanf(line, "%*s %*s %*s %4095s %4095s %4095s", root, point, options) != 3) continue;
        char *dash = strstr(line, " - ");
        if (!dash || sscanf(dash, " - %63s %*s %4095s", kind, super) != 2) continue;
        if (strstr(line, " shared:") && strstr(line, " shared:") < dash) strcat(tags, " shared");
        if (strstr(line, " master:") && strstr(line, " master:") < dash) strcat(tags, " slave");
        /* What is hidden or read-only there depends on what the kernel has; it is tried
         * below. Files in /etc lie in the caller's run directory. */
        if (!strncmp(point, "/proc/", 6) || !strncmp(point, "/sys/firm", 9)) continue;
        if (!strncmp(point, "/sys/dev", 8)) continue;
        int bound = !strncmp(point, "/etc/", 5);
        int node = !strncmp(point, "/dev/", 5) && strcmp(root, "/");
        printf("mount %s: ", point);
        if (bound) printf("a file of the host ");
        else if (node) printf("a device ");
        else printf("%s ", kind);
        print_options(options, bound || node ? WRITE : OF_MOUNT);
        if (!bound && !node) {
            printf(" ");
            print_options(super, strcmp(kind, "overlay") ? OF_SYSTEM : ALONE);
        }
        printf("%s\n", tags);
    }
}

static void hidden(void) {
    static const char *const PATHS[] = {
        "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
        "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list",
        "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware"};
    for (size_t i = 0; i < COUNT(PATHS); i++) {
        const char *what = "nothing to see";
        struct stat stat_of;
        char byte;
        if (!stat(PATHS[i], &stat_of) && S_ISDIR(stat_of.st_mode)) {
            DIR *directory = opendir(PATHS[i]);
            int entries = 0;
            while (directory && readdir(directory)) entries++;
            if (entries > 2) what = "VISIBLE";
            if (directory) closedir(directory);
        } else {
            int fd = open(PATHS[i], O_RDONLY | O_NONBLOCK);
            if (fd >= 0 && read(fd, &byte, 1) > 0) what = "VISIBLE";
            if (fd >= 0) close(fd);
        }
        printf("hidden %s: %s\n", PATHS[i], what);
    }
}

static void writable(void) {
    static const char *const PATHS[] = {
        "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/domainname",
        "/proc/sys/kernel/modprobe", "/proc/sys/net/ipv4/ip_forward",
        "/proc/sys/vm/drop_caches", "/proc/sysrq-trigger", "/proc/irq/default_smp_affinity",
        "/proc/bus/pci/devices", "/proc/fs", "/sys/kernel/mm/ksm/run", "/sys/kernel/uevent_helper",
        "/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/devices/devices.allow",
        "/sys/fs/cgroup/release_agent", "/proc/1/oom_score_adj", "/etc/hosts",
        "/etc/resolv.conf", "/etc/hostname", "/tmp", "/dev", "/dev/shm"};
    for (size_t i = 0; i < COUNT(PATHS); i++) {
        struct stat stat_of;
        int failed;
        if (!stat(PATHS[i], &stat_of) && S_ISDIR(stat_of.st_mode)) {
            char file[256];
            snprintf(file, sizeof file, "%s/probe", PATHS[i]);
            int fd = open(file, O_WRONLY | O_CREAT | O_EXCL, 0600);
            failed = fd < 0;
            if (!failed) close(fd), unlink(file);
        } else {
            int fd = open(PATHS[i], O_WRONLY);
            failed = fd < 0;
            if (!failed) close(fd);
        }
        printf("write %s: %s\n", PATHS[i], failed ? "no" : "yes");
    }
}

static void devices(const char *directory, int depth) {
    struct dirent **entries;
    int count = scandir(directory, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        char path[512], target[512];
        struct stat about;
        if (entries[i]->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", directory, entries[i]->d_name);
        if (lstat(path, &about)) continue;
        if (S_ISLNK(about.st_mode)) {
            ssize_t length = readlink(path, target, sizeof target - 1);
            target[length < 0 ? 0 : length] = 0;
            printf("device %s: -> %s\n", path, target);
        } else if (S_ISDIR(about.st_mode)) {
            printf("device %s: directory %04o\n", path, about.st_mode & 07777);
            /* What the terminals are called depends on who else has one. */
            if (depth < 3 && strcmp(path, "/dev/pts")) devices(path, depth + 1);
        } else {
            const char *kind = S_ISCHR(about.st_mode) ? "c" : S_ISBLK(about.st_mode) ? "b" : "file";
            printf("device %s: %s %d:%d %04o\n", path, kind, (int)major(about.st_rdev),
                   (int)minor(about.st_rdev), about.st_mode & 07777);
        }
    }
}

static void surroundings(void) {
    char *text = slurp("/proc/self/cgroup"), *rest = NULL;
    int others = 0;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *path = strrchr(line, ':');
        if (path && strcmp(path, ":/")) others++, printf("cgroup: %s\n", line);
    }
    if (!others) printf("cgroup: / everywhere\n");
    struct if_nameindex *links = if_nameindex();
    printf("links:");
    for (struct if_nameindex *link = links; link && link->if_name; link++)
        printf(" %s", link->if_name);
    printf("\n");
    const char *keys[] = {"/proc/sys/net/ipv4/ping_group_range",
                          "/proc/sys/net/ipv4/ip_unprivileged_port_start"};
    for (size_t i = 0; i < COUNT(keys); i++) {
        char *value = slurp(keys[i]);
        if (value) value[strcspn(value, "\n")] = 0;
        printf("sysctl %s: %s\n", keys[i] + strlen("/proc/sys/"), value ? value : "?");
    }
}

static void told(const char *what, long answer) {
    printf("call %s: %s\n", what, name_of(answer < 0 ? errno : 0));
}

#define CALL(name, ...) told(#name, syscall(SYS_##name, ##__VA_ARGS__))
/* An address that the kernel cannot read. */
#define NOWHERE ((void *)1)
#define UPPER (1UL << 32)

/* In a child, because it changes who we are. */
static void in_child(const char *what, long (*act)(unsigned long), unsigned long argument) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        errno = 0;
        long answer = act(argument);
        _exit(answer < 0 ? errno : 0);
    }
    int status;
    waitpid(child, &status, 0);
    printf("call %s: %s\n", what,
           WIFSIGNALED(status) ? "killed" : name_of(WEXITSTATUS(status)));
}

static long do_unshare(unsigned long flags) { return syscall(SYS_unshare, flags); }

static long do_clone(unsigned long flags) {
    long child = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
    if (child == 0) _exit(0);
    return child;
}

static long do_chroot(unsigned long unused) { (void)unused; return chroot("/"); }
static long do_personality(unsigned long kind) { return syscall(SYS_personality, kind); }
static long do_traceme(unsigned long unused) { (void)unused; return ptrace(PTRACE_TRACEME, 0, 0, 0); }
static long do_setuid(unsigned long id) { return setresuid(id, id, id); }

static void processes(void) {
    static const struct { const char *name; unsigned long flag; } KINDS[] = {
        {"NEWCGROUP", CLONE_NEWCGROUP}, {"NEWIPC", CLONE_NEWIPC}, {"NEWNET", CLONE_NEWNET},
        {"NEWNS", CLONE_NEWNS}, {"NEWPID", CLONE_NEWPID}, {"NEWUSER", CLONE_NEWUSER},
        {"NEWUTS", CLONE_NEWUTS}};
    char what[64];
    for (size_t i = 0; i < COUNT(KINDS); i++) {
        snprintf(what, sizeof what, "unshare CLONE_%s", KINDS[i].name);
        in_child(what, do_unshare, KINDS[i].flag);
        snprintf(what, sizeof what, "clone CLONE_%s", KINDS[i].name);
        in_child(what, do_clone, KINDS[i].flag);
    }
    in_child("clone", do_clone, 0);
    in_child("clone, upper bits", do_clone, CLONE_NEWUSER | UPPER);
    CALL(clone3, NULL, 0);
    in_child("chroot", do_chroot, 0);
    in_child("setresuid 1000", do_setuid, 1000);
    in_child("personality 0", do_personality, 0);
    in_child("personality -1", do_personality, 0xffffffff);
    in_child("personality ADDR_NO_RANDOMIZE", do_personality, 0x40000);
    in_child("personality READ_IMPLIES_EXEC", do_personality, 0x400000);
    in_child("ptrace TRACEME", do_traceme, 0);
    CALL(setns, -1, 0);
    CALL(kcmp, getpid(), getpid(), 0, 0, 0);
    CALL(pidfd_getfd, -1, 0, 0);
    CALL(process_madvise, -1, NULL, 0, 0, 0);
    CALL(move_pages, 0, 0, NULL, NULL, NULL, 0);
    CALL(migrate_pages, 0, 0, NULL, NULL);
}

static void mounting(void) {
    CALL(mount, NULL, NOWHERE, NULL, 0, NULL);
    CALL(umount2, NOWHERE, 0);
    CALL(pivot_root, NOWHERE, NOWHERE);
    CALL(open_tree, -1, NOWHERE, 0);
    CALL(move_mount, -1, NOWHERE, -1, NOWHERE, 0);
    CALL(fsopen, NOWHERE, 0);
    CALL(fsconfig, -1, 0, NULL, NULL, 0);
    CALL(fsmount, -1, 0, 0);
    CALL(fspick, -1, NOWHERE, 0);
    CALL(mount_setattr, -1, NOWHERE, 0, NULL, 0);
    CALL(quotactl, 0, NOWHERE, 0, NULL);
    CALL(fanotify_init, 0, 0);
    CALL(open_by_handle_at, -1, NOWHERE, 0);
    CALL(swapon, NOWHERE, 0);
    CALL(swapoff, NOWHERE);
    CALL(acct, NOWHERE);
    told("mknod of a disk", mknod("/tmp/disk", S_IFBLK | 0600, makedev(8, 0)));
    told("mknod of /dev/mem", mknod("/tmp/mem", S_IFCHR | 0600, makedev(1, 1)));
    told("mknod of a pipe", mknod("/tmp/pipe", S_IFIFO | 0600, 0));
    unlink("/tmp/disk"), unlink("/tmp/mem"), unlink("/tmp/pipe");
}

static void machine(void) {
    CALL(bpf, 0, NULL, 0);
    CALL(perf_event_open, NOWHERE, 0, -1, -1, 0);
    CALL(io_uring_setup, 1, NOWHERE);
    CALL(io_uring_enter, -1, 0, 0, 0, NULL, 0);
    CALL(io_uring_register, -1, 0, NULL, 0);
    CALL(userfaultfd, 0);
    CALL(kexec_load, 0, 0, NULL, ~0UL);
    CALL(kexec_file_load, -1, -1, 0, NULL, 0);
    CALL(init_module, NOWHERE, 0, NOWHERE);
    CALL(finit_module, -1, NOWHERE, 0);
    CALL(delete_module, NOWHERE, 0);
    CALL(reboot, 0, 0, 0, NULL);
    CALL(syslog, 9, NULL, 0);
    CALL(settimeofday, NOWHERE, NULL);
    CALL(clock_settime, 0, NOWHERE);
    CALL(sethostname, NOWHERE, 1);
    CALL(setdomainname, NOWHERE, 1);
    CALL(mbind, 0, 0, 99, NULL, 0, 0);
    CALL(set_mempolicy, 99, NULL, 0);
    CALL(get_mempolicy, NULL, NULL, 0, NULL, 0);
    CALL(set_mempolicy_home_node, 0, 0, 99, 0);
    CALL(add_key, NOWHERE, NULL, NULL, 0, 0);
    CALL(request_key, NOWHERE, NULL, NULL, 0);
    CALL(keyctl, 0, -3, 0);
    told("statmount", syscall(457, NOWHERE, NULL, 0, 0));
    told("a call of tomorrow", syscall(900, 0));
}

static void sockets(void) {
    told("socket AF_ALG", socket(AF_ALG, SOCK_SEQPACKET, 0));
    told("socket AF_VSOCK", socket(AF_VSOCK, SOCK_STREAM, 0));
    told("socket AF_VSOCK, upper bits", syscall(SYS_socket, AF_VSOCK | UPPER, SOCK_STREAM, 0));
    told("socket AF_ALG, upper bits", syscall(SYS_socket, AF_ALG | UPPER, SOCK_SEQPACKET, 0));
    told("socket AF_PACKET", socket(AF_PACKET, SOCK_RAW, 0));
    told("socket raw", socket(AF_INET, SOCK_RAW, 1));
    told("socket ping", socket(AF_INET, SOCK_DGRAM, 1));
    told("socket AF_INET", socket(AF_INET, SOCK_STREAM, 0));
    told("ioctl TIOCSTI", syscall(SYS_ioctl, -1, TIOCSTI, "x"));
    told("ioctl TIOCSTI, upper bits", syscall(SYS_ioctl, -1, TIOCSTI | UPPER, "x"));
    told("ioctl TIOCLINUX", syscall(SYS_ioctl, -1, TIOCLINUX, "x"));
    told("ioctl TIOCGWINSZ", syscall(SYS_ioctl, -1, TIOCGWINSZ, NULL));
}

#ifdef __x86_64__
static long int80_getpid(unsigned long unused) {
    long answer;
    (void)unused;
    __asm__ volatile("int $0x80" : "=a"(answer) : "a"(20L) : "memory");
    if (answer < 0) errno = (int)-answer;
    return answer;
}

static void foreign(void) {
    /* A kernel without the 32-bit calls kills instead. */
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) _exit(int80_getpid(0) < 0 ? 1 : 0);
    int status;
    waitpid(child, &status, 0);
    printf("call int 0x80: %s\n", WIFEXITED(status) && !WEXITSTATUS(status) ? "ANSWERED" : "refused");
    told("x32 getpid", syscall(0x40000000 + SYS_getpid));
    CALL(iopl, 0);
    CALL(ioperm, 0, 1, 0);
    CALL(uselib, NOWHERE);
    CALL(ustat, 0, NOWHERE);
    CALL(sysfs, 3);
    CALL(modify_ldt, 0, NULL, 0);
}
#else
static void foreign(void) {}
#endif

int main(int argc, char **argv) {
    if (argc == 2 && !strcmp(argv[1], "reference")) return print_reference();
    if (argc == 2 && !strcmp(argv[1], "wait")) for (;;) pause();
    reference = argv + 1;
    /* Before anything else is open. */
    descriptors();
    identity();
    environment();
    namespaces();
    status();
    inherited();
    mounts();
    hidden();
    writable();
    devices("/dev", 0);
    surroundings();
    processes();
    mounting();
    machine();
    sockets();
    foreign();
    return 0;
}
