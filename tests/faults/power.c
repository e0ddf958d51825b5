// A disk that can be cut off: loaded into the program (LD_PRELOAD), it writes down what is done to
// files below POWER_FOLDER into POWER_LOG, so that a test can make of it what a disk holds after a
// power cut at any moment: all that was synced, and of the rest anything.
//
// One record: u8 what, u8 zero, u16 length of the name, u32 length of the data, u64 file, u64 number,
// name, data; numbers in the machine's own order. A file is its inode.
//   C file name   a file was made             U name       a name was removed
//   R name data   a name was changed          D name       the folder's names are on the disk
//   W file number data   written at number    T file number   cut to number bytes
//   S file number   a sync begins             E file number   the sync of that number is done
//
// POWER_LIES=1: syncs are answered and neither done nor written down, so that a test can be seen to
// fail. POWER_SLOW=N: each sync takes N milliseconds more. POWER_NO_SHARING=1: no memory of a log can be shared, as on some network file systems.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILES 4096
#define ABOVE 3000

static char folder[PATH_MAX];
static int log_file = -1;
static int lies, no_sharing, slow;
static uint64_t syncs;
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
// What a descriptor is: 0 nothing of ours, 1 a file, 2 a folder, 3 the shared memory of a log.
static struct { char kind; uint64_t inode; char *name; } open_files[FILES];

struct head { uint8_t what, zero; uint16_t name; uint32_t data; uint64_t file, number; } __attribute__((packed));

static void note(char what, uint64_t file, uint64_t number, const char *name, const void *data, size_t size) {
    if (log_file < 0) return;
    int before = errno;
    struct head head = { (uint8_t)what, 0, (uint16_t)(name ? strlen(name) : 0), (uint32_t)size, file, number };
    struct iovec parts[3] = {
        { &head, sizeof head }, { (void *)name, head.name }, { (void *)data, size },
    };
    ssize_t whole = (ssize_t)(sizeof head + head.name + size);
    pthread_mutex_lock(&turn);
    if (writev(log_file, parts, 3) != whole) abort();
    pthread_mutex_unlock(&turn);
    errno = before;
}

__attribute__((constructor)) static void begin(void) {
    const char *where = getenv("POWER_FOLDER"), *to = getenv("POWER_LOG");
    no_sharing = getenv("POWER_NO_SHARING") != NULL;
    lies = getenv("POWER_LIES") != NULL;
    slow = getenv("POWER_SLOW") ? atoi(getenv("POWER_SLOW")) : 0;
    if (where == NULL || realpath(where, folder) == NULL) folder[0] = 0;
    if (folder[0] == 0 || to == NULL) return;
    int file = open(to, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    log_file = fcntl(file, F_DUPFD_CLOEXEC, ABOVE);
    if (log_file < 0) abort();
    close(file);
}

#define REAL(name) \
    static __typeof__(name) *real; \
    if (real == NULL) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

// The name below the folder, or NULL for what is not ours.
static const char *ours(const char *path) {
    size_t size = strlen(folder);
    if (size == 0 || strncmp(path, folder, size) != 0) return NULL;
    if (path[size] == 0) return "";
    return path[size] == '/' ? path + size + 1 : NULL;
}

static void absolute(const char *path, char *whole) {
    if (path[0] == '/') { snprintf(whole, PATH_MAX, "%s", path); return; }
    char here[PATH_MAX / 2];
    if (getcwd(here, sizeof here) == NULL) here[0] = 0;
    while (strncmp(path, "./", 2) == 0) path += 2;
    snprintf(whole, PATH_MAX, "%s/%s", here, path);
}

static int ends(const char *name, const char *end) {
    size_t size = strlen(name), last = strlen(end);
    return size >= last && strcmp(name + size - last, end) == 0;
}

static void opened(int file, int was_there) {
    char link[64], path[PATH_MAX];
    if (file < 0 || file >= FILES) return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = readlink(link, path, sizeof path - 1);
    struct stat state;
    if (size < 0 || fstat(file, &state) != 0) return;
    path[size] = 0;
    const char *name = ours(path);
    open_files[file].kind = 0;
    if (name == NULL) return;
    open_files[file].inode = state.st_ino;
    free(open_files[file].name);
    open_files[file].name = strdup(name);
    open_files[file].kind = S_ISDIR(state.st_mode) ? 2 : ends(name, "-shm") ? 3 : S_ISREG(state.st_mode) ? 1 : 0;
    if (open_files[file].kind == 1 && !was_there) note('C', state.st_ino, 0, name, NULL, 0);
}

static int kind_of(int file) { return file >= 0 && file < FILES ? open_files[file].kind : 0; }

#define OPEN(function) \
    int function(const char *path, int flags, ...) { \
        REAL(function); \
        mode_t mode = 0; \
        if (flags & (O_CREAT | O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); } \
        int was_there = !(flags & O_CREAT) || access(path, F_OK) == 0; \
        int file = real(path, flags, mode); \
        if (file >= 0) opened(file, was_there); \
        if (file >= 0 && (flags & O_TRUNC) && kind_of(file) == 1) note('T', open_files[file].inode, 0, NULL, NULL, 0); \
        return file; \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(function) \
    int function(int at, const char *path, int flags, ...) { \
        REAL(function); \
        mode_t mode = 0; \
        if (flags & (O_CREAT | O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); } \
        int was_there = !(flags & O_CREAT) || faccessat(at, path, F_OK, 0) == 0; \
        int file = real(at, path, flags, mode); \
        if (file >= 0) opened(file, was_there); \
        return file; \
    }
OPENAT(openat)
OPENAT(openat64)

int close(int file) {
    REAL(close);
    if (file >= 0 && file < FILES) open_files[file].kind = 0;
    return real(file);
}

#define PWRITE(function, offset_type) \
    ssize_t function(int file, const void *data, size_t size, offset_type offset) { \
        REAL(function); \
        ssize_t done = real(file, data, size, offset); \
        if (done > 0 && kind_of(file) == 1) note('W', open_files[file].inode, (uint64_t)offset, NULL, data, (size_t)done); \
        return done; \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t write(int file, const void *data, size_t size) {
    REAL(write);
    int is_ours = kind_of(file) == 1;
    off_t at = is_ours ? lseek(file, 0, SEEK_CUR) : 0;
    ssize_t done = real(file, data, size);
    if (done > 0 && is_ours) note('W', open_files[file].inode, (uint64_t)at, NULL, data, (size_t)done);
    return done;
}

#define TRUNCATE(function, size_type) \
    int function(int file, size_type size) { \
        REAL(function); \
        int done = real(file, size); \
        if (done == 0 && kind_of(file) == 1) note('T', open_files[file].inode, (uint64_t)size, NULL, NULL, 0); \
        return done; \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

static int synced(int file, int (*real)(int)) {
    int kind = kind_of(file);
    if (kind != 0 && lies) return 0;
    if (kind != 0 && slow) usleep((useconds_t)slow * 1000);
    uint64_t number = __atomic_add_fetch(&syncs, 1, __ATOMIC_SEQ_CST);
    if (kind == 1) note('S', open_files[file].inode, number, NULL, NULL, 0);
    int done = real(file);
    if (done == 0 && kind == 1) note('E', open_files[file].inode, number, NULL, NULL, 0);
    if (done == 0 && kind == 2) note('D', 0, 0, open_files[file].name, NULL, 0);
    return done;
}

int fsync(int file) { REAL(fsync); return synced(file, real); }
int fdatasync(int file) { REAL(fdatasync); return synced(file, real); }

int unlink(const char *path) {
    REAL(unlink);
    char whole[PATH_MAX];
    absolute(path, whole);
    const char *name = ours(whole);
    int done = real(path);
    if (done == 0 && name != NULL && !ends(name, "-shm")) note('U', 0, 0, name, NULL, 0);
    return done;
}

int rename(const char *from, const char *to) {
    REAL(rename);
    char old[PATH_MAX], new[PATH_MAX];
    absolute(from, old);
    absolute(to, new);
    const char *before = ours(old), *after = ours(new);
    int done = real(from, to);
    if (done == 0 && before != NULL && after != NULL) note('R', 0, 0, before, after, strlen(after));
    return done;
}

#define MAP(function, offset_type) \
    void *function(void *at, size_t size, int rights, int flags, int file, offset_type offset) { \
        REAL(function); \
        if (no_sharing && kind_of(file) == 3) { errno = ENODEV; return MAP_FAILED; } \
        return real(at, size, rights, flags, file, offset); \
    }
MAP(mmap, off_t)
MAP(mmap64, off64_t)
